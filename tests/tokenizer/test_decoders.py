"""Streaming decoders hold as little as they can, and never more than their bound."""

from sglite.tokenizer.decoders import MAX_HELD_BYTES, ByteRun, byte_fallback_value, byte_level_bytes
from sglite.tokenizer.detokenizer import IncrementalDetokenizer
from sglite.tokenizer.tokenizer import Tokenizer
from tests.fakes_text import sentencepiece_backend


def test_byte_level_characters_cover_all_bytes():
    from tokenizers import pre_tokenizers

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    assert {byte_level_bytes(char) for char in alphabet} == {bytes([b]) for b in range(256)}
    assert byte_level_bytes("Ġthe") == b" the"
    assert byte_level_bytes("a▁b") == "a▁b".encode()


def test_byte_pieces_are_told_from_others():
    assert byte_fallback_value("<0x0A>") == 10
    assert byte_fallback_value("<0xff>") == 255
    for piece in ("<0x0>", "<0x00A>", "<0xZZ>", "0x0A", "", "<1x0A>"):
        assert byte_fallback_value(piece) is None


def test_an_invalid_run_is_one_replacement_per_byte():
    run = ByteRun()
    assert [run.push(byte) for byte in b"a\xc3"] == ["", ""]
    assert run.push(0x28) == "\ufffd" * 3
    assert run.push(0x61) == "\ufffd"
    assert run.end() == ""
    assert run.push(0x61) == "" and run.end() == "a"


def test_an_unfinished_run_is_one_replacement_per_byte():
    run = ByteRun()
    for byte in "aé".encode()[:-1]:
        run.push(byte)
    assert run.complete_text == "a"
    assert run.end() == "\ufffd" * 2


def test_complete_characters_of_a_held_byte_run_are_pending():
    tokenizer = Tokenizer(sentencepiece_backend())
    newline = tokenizer._backend.token_to_id("<0x0A>")
    detokenizer = IncrementalDetokenizer(tokenizer)
    assert detokenizer.push([newline]) == ""
    assert detokenizer.pending_text == "\n"
    assert detokenizer.finish() == "\n"


def test_a_long_text_of_byte_pieces_streams():
    tokenizer = Tokenizer(sentencepiece_backend())
    text = "བོད་ཡིག" * 40
    ids = [tokenizer._backend.token_to_id(f"<0x{byte:02X}>") for byte in text.encode()]
    detokenizer = IncrementalDetokenizer(tokenizer)
    shown = ""
    for num_bytes, token_id in enumerate(ids, start=1):
        shown += detokenizer.push([token_id])
        assert num_bytes - len(shown.encode()) <= MAX_HELD_BYTES
    assert shown + detokenizer.finish() == text == tokenizer.decode(ids)
