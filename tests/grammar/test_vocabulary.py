"""The text of tokens, and texts as tokens."""

import subprocess
import sys

import msgspec
import pytest

from sglite.embedded import EMBEDDED_MODEL_DIR
from sglite.grammar.vocabulary import Vocabulary, read_vocabulary
from sglite.tokenizer.loading import load_tokenizer
from tests.grammar.small_vocabularies import byte_vocabulary


@pytest.fixture(scope="module")
def embedded() -> Vocabulary:
    return read_vocabulary(load_tokenizer(EMBEDDED_MODEL_DIR), 4096 + 40)


def test_control_tokens_and_ids_without_a_token_are_no_text(embedded):
    assert len(embedded.pieces) == 4096 + 40
    assert not any(embedded.pieces[i] for i in embedded.end_token_ids)
    assert not any(embedded.pieces[4096:])
    assert b"<tool_call>" in embedded.pieces
    assert b"<|im_start|>" not in embedded.pieces


def test_named_control_tokens_are_text_unless_they_end_an_answer():
    tokenizer = load_tokenizer(EMBEDDED_MODEL_DIR)
    vocabulary = read_vocabulary(tokenizer, 4096, text_tokens=["<|im_start|>", "<|im_end|>"])
    assert b"<|im_start|>" in vocabulary.pieces
    assert b"<|im_end|>" not in vocabulary.pieces


def test_survives_a_message(embedded):
    packed = msgspec.msgpack.encode(embedded)
    assert msgspec.msgpack.decode(packed, type=Vocabulary) == embedded


def test_forced_text_gets_the_tokenizers_own_tokens(embedded):
    tokenizer = load_tokenizer(EMBEDDED_MODEL_DIR)
    encode = embedded.make_encode()
    for text in ('{"first_name": "', "Hello, wörld 日本", "<tool_call>\n"):
        assert encode(text.encode()) == tokenizer.encode(text, add_special_tokens=False)


def test_text_that_the_tokenizer_would_change_gets_the_longest_tokens(embedded):
    encode = embedded.make_encode()
    for part in (b"<|im_end|>", b"\xe6\x97", b""):
        assert b"".join(embedded.pieces[i] for i in encode(part)) == part


def test_longest_tokens_without_a_tokenizer():
    vocabulary = byte_vocabulary()
    token_ids = vocabulary.make_encode()(b'abcdx{"a": ')
    assert [vocabulary.pieces[i] for i in token_ids] == [b"abcd", b"x", b'{"a": ']


def test_bytes_without_a_token_end_what_is_encoded():
    vocabulary = Vocabulary(pieces=(b"", b"a"), end_token_ids=(0,))
    assert vocabulary.make_encode()(b"aab") == [1, 1]


def test_a_process_that_compiles_never_imports_torch():
    code = (
        "import sys, sglite.grammar.vocabulary, sglite.grammar.llguidance_backend;"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
