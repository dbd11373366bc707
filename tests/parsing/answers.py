"""Answers of models, made at random, with what a parser has to find in them.

Every format is written here by hand, not from the marks that the scanners know.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from sglite.parsing.formats import make_answer_parser
from sglite.parsing.scanned_answer import ToolCall, join_pieces, parse_whole

TOOL_NAMES = ("get_weather", "get", "f", "search.web", "list-files")
# What could be taken for something else, inside of strings and words.
NASTY = (
    "</tool_call>", "<tool_call>", "[TOOL_CALLS]", "<|python_tag|>", '"', "\\", "}", "{", "]", "[",
    "<think>", "</think>", "<｜tool▁call▁end｜>", "```", "'", "\n", "é", "名前", "🦉", "\u2028",
    ";", ", ", "f(", ")", "[get_weather(", '{"name": "f", "arguments": {}}', "\\u0041", "null",
)  # fmt: skip
# Words that no format takes for more than words, wherever they stand after a letter.
WORDS = (
    "Hello", "a <tool", "call> b", "x [y] z", "[1, 2]", "1 < 2", "{it}", "TOOL_CALLS]", "<|python",
    "c'est", "[unknown(a=1)]", "<｜tool", "ok\n\nthen", '"quoted"', "名前 🦉", "<thin", "[[f]]",
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """A text and what is in it."""

    text: str
    words: str
    reasoning: str
    calls: list[tuple[str, object]]


def random_value(rng: random.Random, depth: int = 0) -> object:
    """A JSON value with strings that look like marks."""
    kind = rng.randrange(6 if depth < 3 else 4)
    if kind == 0:
        return rng.choice([None, True, False, 0, -1, 12345678901234567890, 1.5, -2e-7])
    if kind in (1, 2, 3):
        return "".join(rng.choice(NASTY) for _ in range(rng.randrange(5)))
    if kind == 4:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(3))]
    return {
        rng.choice(NASTY) * rng.randrange(2): random_value(rng, depth + 1)
        for _ in range(rng.randrange(3))
    }


def random_arguments(rng: random.Random) -> dict[str, object]:
    """Arguments by name."""
    return {
        name: random_value(rng) for name in rng.sample(["a", "b_2", "名", "x"], rng.randrange(4))
    }


def to_json(rng: random.Random, value: object) -> str:
    """A spelling of a JSON value."""
    separators = rng.choice([(",", ":"), (", ", ": "), (" , ", " :\n")])
    return json.dumps(value, ensure_ascii=rng.random() < 0.5, separators=separators)


def to_object(rng: random.Random, name: str, arguments: object, key: str = "arguments") -> str:
    """A call as an object, its members in either order."""
    members = [f'"name": {json.dumps(name)}', f'"{key}": {to_json(rng, arguments)}']
    if rng.random() < 0.2:
        members.reverse()
    return "{" + rng.choice([", ", ","]).join(members) + "}"


def write_hermes(rng, calls):
    return rng.choice(["\n", "", "\n\n"]).join(
        f"<tool_call>\n{to_object(rng, *call)}\n</tool_call>" for call in calls
    )


def write_llama3(rng, calls):
    return "<|python_tag|>" + rng.choice([";", "; ", " ;\n"]).join(
        to_object(rng, *call, key="parameters") for call in calls
    )


def write_bare_llama3(rng, calls):
    return write_llama3(rng, calls).removeprefix("<|python_tag|>")


def write_mistral(rng, calls):
    return "[TOOL_CALLS] [" + ", ".join(to_object(rng, *call) for call in calls) + "]"


def write_mistral11(rng, calls):
    return "".join(
        f"[TOOL_CALLS]{name}{rng.choice(['[ARGS]', '', '[CALL_ID]0aB9[ARGS]'])}"
        f"{to_json(rng, arguments)}"
        for name, arguments in calls
    )


def write_pythonic(rng, calls):
    listed = ", ".join(
        f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
        for name, arguments in calls
    )
    return rng.choice(["[{}]", "<|python_start|>[{}]<|python_end|>"]).replace("{}", listed)


def write_deepseek3(rng, calls):
    return (
        "<｜tool▁calls▁begin｜>"
        + "\n".join(
            f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n"
            f"{to_json(rng, arguments)}\n```<｜tool▁call▁end｜>"
            for name, arguments in calls
        )
        + "<｜tool▁calls▁end｜>"
    )


def write_deepseek31(rng, calls):
    return (
        "<｜tool▁calls▁begin｜>"
        + "".join(
            f"<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{to_json(rng, arguments)}<｜tool▁call▁end｜>"
            for name, arguments in calls
        )
        + "<｜tool▁calls▁end｜>"
    )


WRITERS = {
    "hermes": write_hermes,
    "llama3": write_llama3,
    "mistral": write_mistral,
    "mistral11": write_mistral11,
    "pythonic": write_pythonic,
    "deepseekv3": write_deepseek3,
    "deepseekv31": write_deepseek31,
}


def random_words(rng: random.Random) -> str:
    """Words that begin and end with a letter, or none."""
    count = rng.randrange(4)
    return "So " + " ".join(rng.choice(WORDS) for _ in range(count)) + " x" if count else ""


def random_answer(tool_format: str, rng: random.Random) -> Answer:
    """An answer as a model would write it."""
    reasoning = rng.choice(["", random_words(rng)])
    before, after = random_words(rng), random_words(rng)
    calls = [(rng.choice(TOOL_NAMES), random_arguments(rng)) for _ in range(rng.randrange(4))]
    write = WRITERS[tool_format]
    if tool_format == "llama3" and not before and rng.random() < 0.5:
        write = write_bare_llama3
    called = write(rng, calls) if calls else ""
    gap = rng.choice(["", "\n", "\n\n"]) if before and (calls or after) else ""
    # White space after a call, and no words after it, is none either.
    tail = rng.choice(["", "\n", "  "]) if calls else ""
    thought = f"<think>\n{reasoning}\n</think>\n\n" if reasoning else ""
    if not calls:
        before, gap, after = f"{before}{gap}{after}", "", ""
    text = f"{thought}{before}{gap}{called}{tail}{after}"
    words = before + gap + (tail + after if after else "")
    return Answer(text, words, reasoning, calls)


def parser_for(tool_format: str | None, reasoning_format: str | None = "qwen3", **options):
    """A fresh parser that knows TOOL_NAMES."""
    return make_answer_parser(tool_format, reasoning_format, tool_names=TOOL_NAMES, **options)


def parse(tool_format: str | None, text: str, **options) -> tuple[str, str, list[ToolCall]]:
    """Words, thoughts and calls of a text read in one piece; ``reasoning_format`` is None here."""
    options.setdefault("reasoning_format", None)
    return parse_whole(parser_for(tool_format, **options), text)


def parse_in_pieces(tool_format: str, text: str, cuts: list[int], **options):
    """The same of a text that comes in pieces."""
    parser = parser_for(tool_format, **options)
    ends = [*sorted(cuts), len(text)]
    pieces = [
        parser.push(text[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]
    return join_pieces([*pieces, parser.finish()])


def random_cuts(rng: random.Random, length: int) -> list[int]:
    """Places to cut a text: few, many, or at every character."""
    density = rng.choice([0.02, 0.1, 0.5, 1.0])
    return [place for place in range(1, length) if rng.random() < density]


def damaged(rng: random.Random, text: str) -> str:
    """The text with something missing, doubled or in the wrong place."""
    for _ in range(rng.randrange(1, 4)):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice([1, 1, 2, 10, 50]))
        middle = rng.choice(["", text[start:end] * 2, rng.choice(NASTY)])
        text = text[:start] + middle + text[end:]
    return text
