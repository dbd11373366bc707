"""The tokenizer: digits one by one, every string whole, special tokens in their places."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer

from training.tokenizer import SPECIAL_TOKENS, train_tokenizer

TEXTS = ["What is the capital of France?", "The capital of France is Paris.", "17 + 25 = 42."] * 20


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """A tokenizer trained on three sentences."""
    return train_tokenizer(TEXTS, vocab_size=320)


def test_every_digit_is_a_token(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode("17 + 2025").tokens
    digits = [token for token in tokens if any(letter.isdigit() for letter in token)]
    assert digits == list("172025")


@pytest.mark.parametrize("text", ["Zoë says 你好 🙂", "  two  spaces\n\n\ttab ", "<|im_start|>x"])
def test_any_text_comes_back_whole(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_special_tokens_are_single_ids(tokenizer: Tokenizer) -> None:
    for expected, token in enumerate(SPECIAL_TOKENS):
        assert tokenizer.encode(token).ids == [expected]


def test_training_twice_gives_the_same_tokenizer(tokenizer: Tokenizer) -> None:
    assert train_tokenizer(TEXTS, vocab_size=320).to_str() == tokenizer.to_str()
