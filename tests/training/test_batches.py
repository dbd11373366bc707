"""Samples and batches: what is learnt, who sees whom, which step gets what."""

from __future__ import annotations

import random
from itertools import islice

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from tests.training.drawing import documents_of_every_skill, draws
from training.batches import (
    IGNORED,
    ROW_LENGTHS,
    Batch,
    Sample,
    batches,
    epoch_rows,
    make_batch,
    pack,
    split_spelled,
    tokenize,
)
from training.chat_format import Document, Piece, document_pieces
from training.examples import assistant, system, user
from training.make_corpus import document_of

CONVERSATION: Document = {
    "messages": [
        system("Be concise."),
        *(user("What is 1 + 2?"), assistant("1 + 2 = 3.")),
        *(user("Thanks!"), assistant("You are welcome!")),
    ]
}


def sample(token_ids: list[int], labels: list[int] | None = None) -> Sample:
    """A sample that is learnt but for its first token."""
    learnt = [IGNORED, *token_ids[1:]] if labels is None else labels
    return Sample(np.array(token_ids, np.int32), np.array(learnt, np.int32))


def samples_of_lengths(lengths: list[int]) -> list[Sample]:
    """Samples that differ in their first token."""
    return [sample([index] * length) for index, length in enumerate(lengths)]


SAMPLES = [sample([10, 11, 12]), sample([20, 21])]


def test_a_sample_reads_as_its_document(tokenizer: Tokenizer) -> None:
    found = documents_of_every_skill()
    for document, made in zip(found, tokenize(tokenizer, found), strict=True):
        pieces = document_pieces(document)
        decoded = tokenizer.decode(made.token_ids.tolist(), skip_special_tokens=False)
        assert decoded == "".join(piece.text for piece in pieces)
        learnt = made.labels[made.labels != IGNORED].tolist()
        assert tokenizer.decode(learnt, skip_special_tokens=False) == "".join(
            piece.text for piece in pieces if piece.is_learnt
        )


def test_pieces_tokenize_as_the_whole_text_does(tokenizer: Tokenizer) -> None:
    found = documents_of_every_skill()
    plain = [one for one in found if not any(piece.spelled for piece in document_pieces(one))]
    for document, made in zip(plain, tokenize(tokenizer, plain), strict=True):
        whole = "".join(piece.text for piece in document_pieces(document))
        assert made.token_ids.tolist() == tokenizer.encode(whole).ids
    assert len(plain) > 900


def test_spelled_words_have_one_token_per_letter(tokenizer: Tokenizer) -> None:
    examples = [one for one in draws("strings")[:300] if one.spelled]
    made = tokenize(tokenizer, [document_of(one) for one in examples])
    assert len(examples) > 200
    for example, each in zip(examples, made, strict=True):
        learnt = each.labels[each.labels != IGNORED].tolist()
        tokens = [tokenizer.decode([token], skip_special_tokens=False) for token in learnt]
        place = 0
        for word in example.spelled:
            place = next(
                start
                for start in range(place, len(tokens))
                if tokens[start : start + len(word)] == list(word)
            ) + len(word)


def test_spelled_words_are_found_in_their_order() -> None:
    piece = Piece("t-o: to or o", True, ("t-o", "o"))
    assert split_spelled(piece) == ["t", "-", "o", ": t", "o", " or o"]
    with pytest.raises(ValueError, match="not found"):
        split_spelled(Piece("ten", True, ("two",)))


def test_only_answers_and_their_ends_are_learnt(tokenizer: Tokenizer) -> None:
    [made] = tokenize(tokenizer, [CONVERSATION])
    learnt = made.labels[made.labels != IGNORED].tolist()
    text = tokenizer.decode(learnt, skip_special_tokens=False)
    assert text == "1 + 2 = 3.<|im_end|>You are welcome!<|im_end|>"
    is_learnt = made.labels != IGNORED
    assert (made.labels[is_learnt] == made.token_ids[is_learnt]).all()


def test_packing_keeps_every_token_and_the_order() -> None:
    samples = samples_of_lengths([1 + index % 7 for index in range(50)])
    rows = list(pack(samples, 10))
    packed = [each.token_ids.tolist() for row in rows for each in row]
    assert packed == [each.token_ids.tolist() for each in samples]
    assert all(0 < sum(len(each.token_ids) for each in row) <= 10 for row in rows)


def test_only_a_sample_longer_than_a_row_is_cut() -> None:
    [[first], [second]] = pack(samples_of_lengths([12, 10]), 10)
    assert (len(first.token_ids), len(first.labels), len(second.token_ids)) == (10, 10, 10)


def test_samples_of_a_row_do_not_see_each_other() -> None:
    batch = make_batch([SAMPLES], 6)
    assert batch.mask.shape == (1, 1, 6, 6)
    assert batch.mask[0, 0, :5].int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 1, 1, 0],
    ]
    assert batch.position_ids[0, :5].tolist() == [0, 1, 2, 0, 1]


def test_every_position_sees_one_at_least() -> None:
    # A row of the mask without a single True would make NaN of the softmax.
    assert make_batch([SAMPLES, [SAMPLES[1]]], 8).mask.any(dim=-1).all()


def test_labels_are_the_next_tokens_of_the_same_sample() -> None:
    batch = make_batch([SAMPLES], 6)
    assert batch.token_ids[0].tolist() == [10, 11, 12, 20, 21, 0]
    assert batch.labels[0].tolist() == [11, 12, IGNORED, 21, IGNORED, IGNORED]


def test_a_batch_has_rows_of_one_class_and_about_as_many_tokens_as_any_other() -> None:
    rng = random.Random(0)
    lengths = [rng.choice([20, 100, 200, 400, 900, 2000, 3000]) for _ in range(400)]
    found = epoch_rows(samples_of_lengths(lengths), 4096, seed="0")
    assert {each.row_length for each in found} == set(ROW_LENGTHS)
    for each in found:
        assert len(each.rows) * each.row_length == 4096
        shorter = max((length for length in ROW_LENGTHS if length < each.row_length), default=0)
        for row in each.rows:
            assert all(shorter < len(one.token_ids) <= each.row_length for one in row)
    firsts = [int(one.token_ids[0]) for each in found for row in each.rows for one in row]
    assert len(firsts) == len(set(firsts))
    assert len(firsts) > 0.8 * len(lengths)


def first_tokens(batch: Batch) -> list[int]:
    """The samples of a batch, each of which has a token of its own."""
    firsts: list[int] = batch.token_ids[batch.position_ids == 0].tolist()
    return sorted(set(firsts))


def test_epochs_are_shuffled_and_repeat_for_the_same_seed() -> None:
    samples = samples_of_lengths([64] * 40)
    stream = batches(samples, tokens_per_batch=256, seed=1)
    epochs = [[first_tokens(batch) for batch in islice(stream, 10)] for _ in range(2)]
    assert epochs[0] != epochs[1]
    for epoch in epochs:
        assert sorted(token for tokens in epoch for token in tokens) == list(range(40))
    again = batches(samples, tokens_per_batch=256, seed=1)
    assert [first_tokens(batch) for batch in islice(again, 10)] == epochs[0]


def test_a_resumed_run_sees_the_batches_it_would_have_seen() -> None:
    samples = samples_of_lengths([10 + 5 * index for index in range(40)])
    whole = list(islice(batches(samples, tokens_per_batch=512, seed=1), 30))
    resumed = islice(batches(samples, tokens_per_batch=512, seed=1, first_step=17), 13)
    for expected, batch in zip(whole[17:], resumed, strict=True):
        assert torch.equal(expected.token_ids, batch.token_ids)
        assert torch.equal(expected.labels, batch.labels)
        assert torch.equal(expected.mask, batch.mask)


def test_samples_that_fill_no_batch_are_refused() -> None:
    with pytest.raises(ValueError, match="2 samples do not fill a batch"):
        next(batches(SAMPLES, tokens_per_batch=2048, seed=0))
