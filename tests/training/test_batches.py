"""Samples and batches: what is learnt, who sees whom, which step gets what."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from sglite.embedded import EMBEDDED_MODEL_DIR
from training.batches import IGNORED, Sample, batches, make_batch, pack, segments, tokenize

CONVERSATION = {
    "system": "Be concise.",
    "turns": [["What is 1 + 2?", "1 + 2 = 3."], ["Thanks!", "You are welcome!"]],
}
TEXT = {"prompt": "17 + 25 =", "completion": " 42."}
SAMPLES = [Sample([10, 11, 12], [IGNORED, 11, 12]), Sample([20, 21], [IGNORED, 21])]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """The embedded model's."""
    return Tokenizer.from_file(str(EMBEDDED_MODEL_DIR / "tokenizer.json"))


@pytest.mark.parametrize("document", [CONVERSATION, TEXT])
def test_pieces_tokenize_as_the_whole_does(tokenizer: Tokenizer, document: dict[str, Any]) -> None:
    [sample] = tokenize(tokenizer, [document])
    whole = "".join(text for text, _ in segments(document))
    assert sample.token_ids == tokenizer.encode(whole).ids


def test_only_answers_and_their_ends_are_learnt(tokenizer: Tokenizer) -> None:
    [sample] = tokenize(tokenizer, [CONVERSATION])
    learnt = tokenizer.decode(
        [label for label in sample.labels if label != IGNORED], skip_special_tokens=False
    )
    assert learnt == "1 + 2 = 3.<|im_end|>You are welcome!<|im_end|>"


def test_training_text_is_what_the_chat_template_renders(tokenizer: Tokenizer) -> None:
    from transformers import AutoTokenizer

    messages = [{"role": "system", "content": CONVERSATION["system"]}]
    for question, answer in CONVERSATION["turns"]:
        messages += [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    rendered = AutoTokenizer.from_pretrained(str(EMBEDDED_MODEL_DIR)).apply_chat_template(
        messages, tokenize=False
    )
    assert rendered == "".join(text for text, _ in segments(CONVERSATION))


def test_packing_keeps_every_token_and_the_order() -> None:
    samples = [Sample([index] * (1 + index % 7), [0] * (1 + index % 7)) for index in range(50)]
    rows = list(pack(samples, 10))
    assert [sample for row in rows for sample in row] == samples
    assert all(sum(len(sample.token_ids) for sample in row) <= 10 for row in rows)


def test_samples_of_a_row_do_not_see_each_other() -> None:
    batch = make_batch([SAMPLES], 6)
    seen = batch.mask[0, 0, :5].int().tolist()
    assert seen == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 1, 1, 0],
    ]
    assert batch.position_ids[0, :5].tolist() == [0, 1, 2, 0, 1]


def test_labels_are_the_next_tokens_of_the_same_sample() -> None:
    batch = make_batch([SAMPLES], 6)
    assert batch.labels[0].tolist() == [11, 12, IGNORED, 21, IGNORED, IGNORED]


def test_a_resumed_run_sees_the_batches_it_would_have_seen() -> None:
    samples = [Sample([index, index], [0, 0]) for index in range(40)]
    options = {"batch_size": 2, "row_length": 6, "seed": 1}
    whole = [batch.token_ids for batch in islice(batches(samples, **options), 12)]
    resumed = [batch.token_ids for batch in islice(batches(samples, first_step=9, **options), 3)]
    assert all(torch.equal(a, b) for a, b in zip(whole[9:], resumed, strict=True))
