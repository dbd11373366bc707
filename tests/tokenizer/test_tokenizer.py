"""Encoding and decoding at the edges: bad text, foreign ids, special tokens."""

import pytest

from sglite.errors import RequestError
from sglite.tokenizer.tokenizer import Tokenizer
from tests.fakes_text import ByteTokenizer, byte_level_backend, word_backend


def test_nul_is_an_ordinary_character():
    tokenizer = ByteTokenizer()
    assert tokenizer.encode("a\0b") == [97, 0, 98]
    assert tokenizer.decode([97, 0, 98]) == "a\0b"


@pytest.mark.parametrize(("text", "position"), [("\ud800", 0), ("ok \udfff end", 3)])
def test_lone_surrogates_are_refused_by_position(text, position):
    with pytest.raises(RequestError, match=f"lone surrogate at character {position}"):
        ByteTokenizer().encode(text)
    with pytest.raises(RequestError, match="lone surrogate") as info:
        ByteTokenizer().encode_batch(["fine", text])
    assert info.value.param == "text[1]"


@pytest.mark.parametrize("text", [None, 3, b"bytes", ["list"]])
def test_what_is_no_string_is_refused(text):
    with pytest.raises(RequestError, match="text must be a string") as info:
        ByteTokenizer().encode(text)
    assert info.value.param == "text"


@pytest.mark.parametrize("token_id", [-1, 258, 10**6, 2**32, 2**63, 10**30])
def test_ids_of_no_token_have_no_text(token_id):
    tokenizer = ByteTokenizer()
    assert tokenizer.decode([104, token_id, 105]) == "hi"
    assert tokenizer.token(token_id) is None


def test_special_tokens_are_left_out_unless_asked_for():
    tokenizer = ByteTokenizer()
    ids = [256, *b"hi", 257]
    assert tokenizer.decode(ids) == "hi"
    assert tokenizer.decode(ids, skip_special_tokens=False) == "<bos>hi<eos>"
    assert tokenizer.special_token_ids == {256, 257}
    assert tokenizer.eos_token_ids == {257}
    assert tokenizer.bos_token_id == 256


def test_every_byte_round_trips():
    tokenizer = ByteTokenizer()
    text = "".join(map(chr, range(0x800))) + "你好🙂"
    assert tokenizer.encode(text) == list(text.encode())
    assert tokenizer.decode(list(text.encode())) == text


def test_batches_equal_single_texts():
    tokenizer = Tokenizer(byte_level_backend())
    texts = ["", "Hello", "the quick\n\nbrown"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_batch([]) == []


def test_vocabulary_with_gaps_counts_to_its_largest_id():
    backend = byte_level_backend()
    assert Tokenizer(backend).vocab_size == backend.get_vocab_size()
    from tokenizers import Tokenizer as Backend
    from tokenizers import models

    gaps = Backend(models.WordLevel({"a": 0, "b": 7}, unk_token="a"))
    assert Tokenizer(gaps).vocab_size == 8
    assert Tokenizer(word_backend()).vocab_size == 6


def test_eos_ids_of_the_model_are_added():
    backend = byte_level_backend(("<end>",))
    tokenizer = Tokenizer(backend, named_tokens={"eos_token": "<end>"}, eos_token_ids=[1, 2])
    assert tokenizer.eos_token_ids == {1, 2, backend.token_to_id("<end>")}
    assert tokenizer.bos_token_id is None
