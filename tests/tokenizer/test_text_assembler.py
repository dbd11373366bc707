"""What is shown is never taken back, never holds a stop, and does not depend on the cuts."""

import random

import pytest

from sglite.request import FinishReason, SamplingParams
from sglite.tokenizer.stop_checker import StopChecker
from sglite.tokenizer.text_assembler import TextAssembler
from sglite.tokenizer.tokenizer import Tokenizer
from tests.fakes_text import CORPUS, ByteTokenizer, byte_level_backend, sentencepiece_backend

EOS = 257
STOP = FinishReason.STOP
LENGTH = FinishReason.LENGTH


def assemble(tokenizer, sampling, pieces, *finish):
    """All deltas, the last one from ``finish``."""
    assembler = TextAssembler(tokenizer, sampling)
    deltas = [assembler.push(piece) for piece in pieces]
    deltas.append(assembler.finish(*finish))
    assert assembler.text == "".join(deltas)
    return deltas


def every_cut(ids):
    """All ways to cut a short list into non-empty pieces."""
    for mask in range(1 << max(len(ids) - 1, 0)):
        pieces, piece = [], []
        for index, token_id in enumerate(ids):
            piece.append(token_id)
            if mask >> index & 1:
                pieces.append(piece)
                piece = []
        yield [*pieces, piece] if piece else pieces


def run_engine(tokenizer, sampling, ids):
    """Output ids up to the first stop, and what ended them, as the scheduler decides it."""
    checker = StopChecker.try_for_request(tokenizer, sampling)
    end_ids = set(tokenizer.eos_token_ids) | set(sampling.stop_token_ids)
    for count, token_id in enumerate(ids, start=1):
        match = checker.push(token_id) if checker else None
        if match is not None:
            return ids[:count], (STOP, match.matched)
        if token_id in end_ids and not sampling.ignore_eos:
            return ids[:count], (STOP, token_id)
    return ids, (LENGTH, None)


@pytest.mark.parametrize("stop", [("stop",), ("op", "xst"), ("st", "a s"), ("p!",), ("é",)])
def test_no_cut_leaks_a_character_of_a_stop(stop):
    tokenizer = ByteTokenizer()
    sampling = SamplingParams(stop=stop)
    text = "a sté op!"
    text = text if stop != ("stop",) else "a stop!"
    ids, finish = run_engine(tokenizer, sampling, list(text.encode()))
    whole = bytes(ids).decode()
    expected = whole[: min((whole.find(s) for s in stop if s in whole), default=None)]
    for pieces in every_cut(ids):
        deltas = assemble(tokenizer, sampling, pieces, *finish)
        assert "".join(deltas) == expected, (pieces, deltas)


def test_what_might_be_a_stop_is_held_and_released():
    tokenizer = ByteTokenizer()
    assembler = TextAssembler(tokenizer, SamplingParams(stop=("stop",)))
    assert assembler.push(b"a st") == "a "
    assert assembler.push(b"ep") == "step"
    assert assembler.push(b" sto") == " "
    assert assembler.finish(LENGTH) == "sto"
    assert assembler.text == "a step sto"


def test_text_without_the_beginning_of_a_stop_is_shown_at_once():
    assembler = TextAssembler(ByteTokenizer(), SamplingParams(stop=("\n\nUser:", "###")))
    for byte in b"plain text #1\nnext":
        assembler.push([byte])
    assert assembler.text == "plain text #1\nnext"


@pytest.mark.parametrize("reason", [LENGTH, FinishReason.ABORT, FinishReason.ERROR])
def test_everything_held_is_shown_when_the_answer_ends_otherwise(reason):
    sampling = SamplingParams(stop=("stop",), stop_regex=(r"\d+\.",))
    ids = [*b"so 12 sto", 0xF0, 0x9F]
    deltas = assemble(ByteTokenizer(), sampling, [ids], reason)
    assert "".join(deltas) == "so 12 sto\ufffd"


def test_eos_adds_no_text():
    shown = SamplingParams(skip_special_tokens=False)
    ids = [*b"hi", EOS]
    for pieces in every_cut(ids):
        assert "".join(assemble(ByteTokenizer(), shown, pieces, STOP, EOS)) == "hi"
    kept = SamplingParams(skip_special_tokens=False, no_stop_trim=True)
    assert "".join(assemble(ByteTokenizer(), kept, [ids], STOP, EOS)) == "hi<eos>"


def test_stop_token_adds_no_text():
    sampling = SamplingParams(stop_token_ids=(ord("!"),))
    for pieces in every_cut(list(b"hi!")):
        assert "".join(assemble(ByteTokenizer(), sampling, pieces, STOP, ord("!"))) == "hi"
    assert "".join(assemble(ByteTokenizer(), sampling, [b"hi!"], LENGTH)) == "hi!"


def test_eos_that_did_not_end_the_answer_is_text():
    shown = SamplingParams(skip_special_tokens=False)
    ids = [EOS, *b"a", EOS, EOS, *b"b"]
    for pieces in every_cut(ids):
        assert "".join(assemble(ByteTokenizer(), shown, pieces, LENGTH)) == "<eos>a<eos><eos>b"
    ignoring = SamplingParams(skip_special_tokens=False, ignore_eos=True)
    assembler = TextAssembler(ByteTokenizer(), ignoring)
    assert assembler.push([EOS]) == "<eos>"


def test_eos_ids_may_come_from_the_request():
    assembler = TextAssembler(ByteTokenizer(), SamplingParams(), eos_token_ids={ord(".")})
    assert assembler.push(b"a.") + assembler.finish(STOP, ord(".")) == "a"


def test_stop_string_within_the_eos_token_is_cut():
    sampling = SamplingParams(skip_special_tokens=False, stop=("<e",))
    ids, finish = run_engine(ByteTokenizer(), sampling, [*b"hi", EOS, *b"more"])
    assert finish == (STOP, "<e")
    for pieces in every_cut(ids):
        assert "".join(assemble(ByteTokenizer(), sampling, pieces, *finish)) == "hi"


def test_no_stop_trim_keeps_the_text_of_all_tokens():
    sampling = SamplingParams(stop=("st",), no_stop_trim=True)
    tokenizer = Tokenizer(byte_level_backend())
    ids, finish = run_engine(tokenizer, sampling, tokenizer.encode("one STOP stopping"))
    deltas = assemble(tokenizer, sampling, [[i] for i in ids], *finish)
    assert "".join(deltas) == tokenizer.decode(ids)
    assert "st" in "".join(deltas)


def test_tokens_after_the_stop_are_not_shown():
    sampling = SamplingParams(stop=("stop",))
    deltas = assemble(ByteTokenizer(), sampling, [b"a stop b", b"more"], FinishReason.ABORT)
    assert "".join(deltas) == "a "


def test_regex_stop_leaks_nothing():
    tokenizer = ByteTokenizer()
    sampling = SamplingParams(stop_regex=(r"\n+Q\d{1,3}:",))
    ids, finish = run_engine(tokenizer, sampling, list(b"ab\nQ1\n\nQ12: x"))
    assert finish == (STOP, "\n\nQ12:")
    rng = random.Random(5)
    for _ in range(200):
        assert "".join(assemble(tokenizer, sampling, random_cut(rng, ids), *finish)) == "ab\nQ1"


def random_cut(rng, ids):
    pieces, position = [], 0
    while position < len(ids):
        size = rng.randrange(1, 5)
        pieces.append(ids[position : position + size])
        position += size
    return pieces


def random_stops(rng, text):
    """Mostly parts of the text, so that they occur, overlap and nearly occur."""
    stops = []
    for _ in range(rng.randrange(0, 4)):
        start = rng.randrange(len(text))
        stop = text[start : start + rng.randrange(1, 9)]
        stops.append(stop if rng.random() < 0.7 else stop + "x")
    return tuple(stops)


BACKENDS = {
    "bytes": ByteTokenizer,
    "byte_level": lambda: Tokenizer(
        byte_level_backend(("<eos>",)), named_tokens={"eos_token": "<eos>"}
    ),
    "llama2": lambda: Tokenizer(sentencepiece_backend(), named_tokens={"eos_token": "</s>"}),
}


@pytest.mark.parametrize("kind", BACKENDS)
def test_any_cut_shows_the_text_before_the_first_stop(kind):
    tokenizer = BACKENDS[kind]()
    rng = random.Random(11)
    specials = sorted(tokenizer.special_token_ids)
    for _ in range(3_000):
        line = rng.choice(CORPUS)
        start = rng.randrange(len(line) - 10)
        ids = tokenizer.encode(line[start : start + 40], add_special_tokens=False)
        for _ in range(rng.randrange(3)):
            extra = rng.choice([*specials, rng.randrange(300), rng.randrange(300)])
            ids.insert(rng.randrange(len(ids) + 1), extra)
        sampling = SamplingParams(
            stop=random_stops(rng, line[start : start + 40]),
            stop_regex=(r"[aeiou]{2}\s\w",) if rng.random() < 0.2 else (),
            stop_token_ids=(rng.choice(ids),) if rng.random() < 0.2 else (),
            skip_special_tokens=rng.random() < 0.5,
        )
        ids, finish = run_engine(tokenizer, sampling, ids)
        ended_by_token = finish[0] is STOP and isinstance(finish[1], int)
        visible = ids[:-1] if ended_by_token else ids
        expected = tokenizer.decode(visible, skip_special_tokens=sampling.skip_special_tokens)
        if isinstance(finish[1], str):
            expected = expected[: expected.find(finish[1])]
        one_shot = "".join(assemble(tokenizer, sampling, [ids], *finish))
        assert one_shot == expected, (ids, sampling, finish)
        assembler = TextAssembler(tokenizer, sampling)
        for piece in random_cut(rng, ids):
            assembler.push(piece)
            assert expected.startswith(assembler.text), (ids, sampling, finish)
        assembler.finish(*finish)
        assert assembler.text == expected, (ids, sampling, finish)
