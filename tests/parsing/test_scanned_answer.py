"""Whatever the format: cuts change nothing, what was told stays told, no text is lost."""

import json
import random

import pytest

from sglite.parsing.pieces import AnswerPiece, ToolCallPiece
from sglite.parsing.scanned_answer import ToolCall, join_pieces, parse_whole
from tests.parsing import answers
from tests.parsing.answers import parse, parse_in_pieces, parser_for

FORMATS = sorted(answers.WRITERS)


def check_splits(tool_format, seed, num_answers, splits_each):
    rng = random.Random(seed)
    for number in range(num_answers):
        text = answers.random_answer(tool_format, rng).text
        if number % 3 == 2:
            text = answers.damaged(rng, text)
        whole = parse(tool_format, text, reasoning_format="qwen3")
        for _ in range(splits_each):
            cuts = answers.random_cuts(rng, len(text))
            assert parse_in_pieces(tool_format, text, cuts) == whole, (text, cuts)


@pytest.mark.parametrize("tool_format", FORMATS)
def test_answer_is_read_as_it_was_written(tool_format):
    rng = random.Random(1)
    for _ in range(150):
        answer = answers.random_answer(tool_format, rng)
        words, reasoning, calls = parse(tool_format, answer.text, reasoning_format="qwen3")
        found = [(call.name, json.loads(call.arguments)) for call in calls]
        assert (words, reasoning, found) == (answer.words, answer.reasoning, answer.calls), (
            answer.text
        )


@pytest.mark.parametrize("tool_format", FORMATS)
def test_cuts_change_nothing(tool_format):
    check_splits(tool_format, seed=2, num_answers=60, splits_each=5)


@pytest.mark.slow
@pytest.mark.parametrize("tool_format", FORMATS)
def test_a_hundred_thousand_cuts_change_nothing(tool_format):
    check_splits(tool_format, seed=3, num_answers=3_000, splits_each=5)


@pytest.mark.parametrize("tool_format", FORMATS)
def test_what_was_told_stays_told_wherever_the_answer_breaks_off(tool_format):
    rng = random.Random(4)
    text = answers.random_answer(tool_format, rng).text
    text += answers.random_answer(tool_format, rng).text
    whole = parse(tool_format, text, reasoning_format="qwen3")
    parser, told = parser_for(tool_format), ("", "", [])
    pieces = []
    for place in range(len(text)):
        check_prefix(told, parse(tool_format, text[:place], reasoning_format="qwen3"))
        check_prefix(told, whole)
        pieces.append(parser.push(text[place]))
        told = join_pieces(pieces)


def check_prefix(told, later):
    assert later[0].startswith(told[0]) and later[1].startswith(told[1])
    assert len(later[2]) >= len(told[2])
    for early, late in zip(told[2], later[2], strict=False):
        assert early.name == late.name and late.arguments.startswith(early.arguments)


@pytest.mark.parametrize("tool_format", FORMATS)
def test_without_a_call_every_character_is_words(tool_format):
    rng, num_without = random.Random(5), 0
    for _ in range(400):
        text = answers.damaged(rng, answers.random_answer(tool_format, rng).text)
        words, _, calls = parse(tool_format, text)
        assert calls or words == text
        num_without += not calls
    assert num_without > 50


@pytest.mark.parametrize("tool_format", FORMATS)
def test_random_marks_never_raise(tool_format):
    rng = random.Random(6)
    marks = [*answers.NASTY, *answers.TOOL_NAMES, "[ARGS]", "(a=", "<｜tool▁sep｜>", '{"name":"f"']
    for _ in range(200):
        text = "".join(rng.choice(marks) for _ in range(rng.randrange(30)))
        cuts = answers.random_cuts(rng, len(text))
        whole = parse(tool_format, text, reasoning_format="qwen3")
        assert parse_in_pieces(tool_format, text, cuts) == whole


# Texts that a scanner could read again and again; each begins something that it never ends.
ENDLESS = [
    "<tool_call>", "<tool_call", '<tool_call>{"name": "f", "arguments": {"a": [', "[", "[f(a=", "<",
    '<tool_call>{"arguments": "', "[f(a='", "[TOOL_CALLS][", "[TOOL_CALLS]f", "\n", '{"name":',
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function", "<think>", "<think", "</think",
]  # fmt: skip


def count_takes(monkeypatch, tool_format, text):
    """How often the scanner takes something, and how many characters in all."""
    from sglite.parsing.tape import Tape

    taken = []
    take = Tape.take

    def counted(tape, count=1):
        taken.append(len(text := take(tape, count)))
        return text

    with monkeypatch.context() as patch:
        patch.setattr(Tape, "take", counted)
        parse(tool_format, text, reasoning_format="qwen3")
    return len(taken), sum(taken)


@pytest.mark.parametrize("tool_format", FORMATS)
def test_endless_texts_are_read_once(tool_format, monkeypatch):
    for beginning in ENDLESS:
        for text in ((beginning * 2_000)[:2_000], beginning + "x" * 2_000):
            takes, characters = count_takes(monkeypatch, tool_format, text)
            assert takes < 6 * len(text) and characters <= len(text), beginning


MEGABYTES = [
    ("hermes", "<tool_call>"), ("hermes", '<tool_call>{"arguments": ['), ("hermes", "<think"),
    ("hermes", "<tool_call"), ("hermes", '<tool_call>{"arguments": "'), ("llama3", '{"name":'),
    ("mistral", "[TOOL_CALLS]["), ("mistral", "[TOOL_CALLS]f"), ("pythonic", "["),
    ("pythonic", "[f(a="), ("pythonic", "[f(a='"),
    ("deepseekv3", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("tool_format", "beginning"), MEGABYTES)
def test_a_megabyte_of_beginnings_is_read(tool_format, beginning):
    for text in ((beginning * 1_000_000)[:1_000_000], beginning + "x" * 1_000_000):
        words, _, calls = parse(tool_format, text)
        assert calls or words == text


def test_pieces_join_to_calls():
    pieces = [
        AnswerPiece("a", "t", (ToolCallPiece(0, "f"),)),
        AnswerPiece("b", "u", (ToolCallPiece(0, None, "{"), ToolCallPiece(1, "g", "{}"))),
    ]
    assert join_pieces(pieces) == ("ab", "tu", [ToolCall("f", "{"), ToolCall("g", "{}")])


def test_text_after_the_end_is_words():
    parser = parser_for("hermes")
    assert parse_whole(parser, "a <tool") == ("a <tool", "", [])
    assert parser.push("<tool_call>") == AnswerPiece("<tool_call>")
    assert parser.finish() == AnswerPiece()
