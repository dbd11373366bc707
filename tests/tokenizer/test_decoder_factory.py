"""Decoder sections become streaming decoders, or are refused by name."""

import json

import pytest
from tokenizers import decoders

from sglite.errors import ModelLoadError
from sglite.tokenizer.tokenizer import Tokenizer
from tests.fakes_text import byte_level_backend, sentencepiece_backend, word_backend

SPECIAL = ("<|im_end|>", "<｜end▁of▁text｜>")


@pytest.mark.parametrize(
    "decoder",
    [
        decoders.WordPiece(),
        decoders.CTC(),
        decoders.Sequence([decoders.Fuse(), decoders.Replace("a", "b")]),
        decoders.Sequence([decoders.Strip(content=" ", left=1), decoders.Fuse()]),
        decoders.Sequence([decoders.ByteLevel(), decoders.Fuse()]),
    ],
)
def test_a_decoder_that_cannot_stream_is_refused_by_name(decoder):
    backend = word_backend()
    backend.decoder = decoder
    with pytest.raises(ModelLoadError, match=r"decoder .*\"type\": .* not supported"):
        Tokenizer(backend)


def test_piece_of_a_token_is_its_text_within_a_text():
    llama = Tokenizer(sentencepiece_backend())
    first = llama.encode(" the", add_special_tokens=False)
    assert "".join(llama.piece(i) for i in first).endswith(" the")
    assert llama.piece_bytes(llama._backend.token_to_id("<0xE4>")) == b"\xe4"
    byte_level = Tokenizer(byte_level_backend(SPECIAL))
    ids = byte_level.encode("naïve 🙂 fox")
    assert b"".join(byte_level.piece_bytes(i) for i in ids).decode() == "naïve 🙂 fox"
    assert byte_level.piece(byte_level._backend.token_to_id("<|im_end|>")) == "<|im_end|>"
    assert byte_level.piece(10**9) == byte_level.piece(-1) == ""


def test_decoder_sections_parse_as_the_library_writes_them():
    spec = json.loads(decoders.Metaspace().__getstate__())
    assert spec == {
        "type": "Metaspace",
        "replacement": "▁",
        "prepend_scheme": "always",
        "split": True,
    }
