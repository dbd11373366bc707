"""The tokenizer: digits one by one, every string whole, special tokens in their places."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tests.training.drawing import documents_of_every_skill
from training.chat_format import document_pieces
from training.examples import user
from training.tokenizer import MARKUP_TOKENS, SPECIAL_TOKENS, save_tokenizer, train_tokenizer

TEXTS = ["What is the capital of France?", "The capital of France is Paris.", "17 + 25 = 42."] * 20


def test_every_digit_is_a_token(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode("17 + 2025, 3.14").tokens
    assert [token for token in tokens if any(map(str.isdigit, token))] == list("172025314")


def test_no_token_spans_two_chinese_characters() -> None:
    often = train_tokenizer(["你好，世界。hello hello"] * 50, vocab_size=400)
    assert [often.decode([token]) for token in often.encode("你好世界").ids] == list("你好世界")
    assert len(often.encode("hello").ids) == 1


def test_a_quoted_word_is_what_it_is_without_quotes(tokenizer: Tokenizer) -> None:
    bare = tokenizer.encode("planet").ids
    assert tokenizer.encode('"planet"').ids[1:-1] == bare


@pytest.mark.parametrize(
    "text", ["Zoë says 你好 🙂", "  two  spaces\n\n\ttab ", "<|im_start|>x", "<think>\nx\n</think>"]
)
def test_any_text_comes_back_whole(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_the_corpus_comes_back_whole(tokenizer: Tokenizer) -> None:
    for document in documents_of_every_skill(20):
        text = "".join(piece.text for piece in document_pieces(document))
        assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_markup_is_single_ids_in_fixed_places(tokenizer: Tokenizer) -> None:
    for expected, token in enumerate(SPECIAL_TOKENS + MARKUP_TOKENS):
        assert tokenizer.encode(token).ids == [expected]


def test_only_the_special_tokens_are_skipped_in_an_answer(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("<tool_call>\n{}\n</tool_call><|im_end|>").ids
    assert tokenizer.decode(ids) == "<tool_call>\n{}\n</tool_call>"


def test_training_twice_gives_the_same_tokenizer() -> None:
    once = train_tokenizer(TEXTS, vocab_size=320)
    assert train_tokenizer(TEXTS, vocab_size=320).to_str() == once.to_str()
    assert once.get_vocab_size() <= 320


def test_a_saved_tokenizer_is_one_that_transformers_reads(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    from transformers import PreTrainedTokenizerFast

    save_tokenizer(tokenizer, tmp_path / "new", context_length=77, chat_template="{{ 'hi' }}")
    theirs = PreTrainedTokenizerFast.from_pretrained(str(tmp_path / "new"))
    assert theirs("17 <think>").input_ids == tokenizer.encode("17 <think>").ids
    assert theirs.eos_token == "<|im_end|>"
    assert theirs.model_max_length == 77
    assert theirs.apply_chat_template([user("?")], tokenize=False) == "hi"
    config = json.loads((tmp_path / "new" / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["chat_template"] == "{{ 'hi' }}"
