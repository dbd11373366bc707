"""The formats of calls and thoughts by name, and which one a model's chat template shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from sglite.errors import ConfigError
from sglite.parsing import deepseek, hermes, llama3, mistral, pythonic, thoughts
from sglite.parsing.pieces import AnswerParser
from sglite.parsing.scanned_answer import ScannedAnswer, ToolCall, parse_whole
from sglite.parsing.tape import Scan, Tape
from sglite.parsing.words import say_everything

__all__ = [
    "REASONING_FORMATS",
    "TOOL_FORMATS",
    "ToolCall",
    "detect_reasoning_format",
    "detect_tool_format",
    "make_answer_parser",
    "markers",
    "parse_whole",
]


Format = TypeVar("Format")


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """How models write calls."""

    name: str
    """The spelling of the grammar that makes a model call tools (``tool_grammar``)."""
    scan: Callable[[Tape, Collection[str]], Scan[None]]
    markers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReasoningFormat:
    """How models write thoughts. ``is_always_thinking``: answers begin inside of them."""

    name: str
    is_always_thinking: bool
    markers: tuple[str, ...] = (thoughts.BEGIN, thoughts.END)


_HERMES = ToolFormat("hermes", hermes.scan_hermes, (hermes.BEGIN, hermes.END))
_LLAMA3 = ToolFormat("llama3", llama3.scan_llama3, (llama3.TAG,))
_MISTRAL_MARKERS = (mistral.BEGIN, mistral.ARGUMENTS, mistral.CALL_ID)
_MISTRAL = ToolFormat("mistral", mistral.scan_mistral, _MISTRAL_MARKERS)
_MISTRAL11 = ToolFormat("mistral11", mistral.scan_mistral, _MISTRAL_MARKERS)
_PYTHONIC = ToolFormat(
    "pythonic", pythonic.scan_pythonic, (pythonic.PYTHON_START, pythonic.PYTHON_END)
)
_DEEPSEEK_MARKERS = (
    deepseek.CALLS_BEGIN, deepseek.CALL_BEGIN, deepseek.SEPARATOR, deepseek.CALL_END,
    deepseek.CALLS_END,
)  # fmt: skip
_DEEPSEEK3 = ToolFormat("deepseekv3", deepseek.scan_deepseek, _DEEPSEEK_MARKERS)
_DEEPSEEK31 = ToolFormat("deepseekv31", deepseek.scan_deepseek, _DEEPSEEK_MARKERS)

TOOL_FORMATS: dict[str, ToolFormat] = {
    "hermes": _HERMES,
    "qwen": _HERMES,
    "qwen25": _HERMES,
    "llama3": _LLAMA3,
    "mistral": _MISTRAL,
    "mistral11": _MISTRAL11,
    "pythonic": _PYTHONIC,
    "deepseek": _DEEPSEEK3,
    "deepseekv3": _DEEPSEEK3,
    "deepseekv31": _DEEPSEEK31,
}
"""Formats of calls by every name that they go by. Those of one family are read by one scanner, in
either spelling; they differ in the spelling that a grammar makes the model write."""

REASONING_FORMATS: dict[str, ReasoningFormat] = {
    "qwen3": ReasoningFormat("qwen3", is_always_thinking=False),
    "deepseek-r1": ReasoningFormat("deepseek-r1", is_always_thinking=True),
}
"""Formats of thoughts by name. One whose prompts open the thoughts, or do not, is ``qwen3``."""

# What a template must have and must not have, by format: the first that fits is it.
_TOOL_SIGNS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("mistral11", (mistral.BEGIN, mistral.ARGUMENTS), ()),
    ("mistral", (mistral.BEGIN,), ()),
    ("deepseekv3", (deepseek.CALL_BEGIN, deepseek.FENCE), ()),
    ("deepseekv31", (deepseek.CALL_BEGIN,), ()),
    # Qwen3-Coder and GLM use the tag for formats of their own.
    ("hermes", (hermes.BEGIN,), ("<function=", "<arg_key>")),
    ("pythonic", (pythonic.PYTHON_START,), ()),
    ("pythonic", ("[func_name1(",), ()),
    ("llama3", (llama3.TAG,), ()),
    ("llama3", ("<|start_header_id|>", '"parameters": '), ()),
)
THINKING_SWITCHES = ("enable_thinking", "thinking")
"""Variables by which templates know whether to think."""
_CAN_SWITCH_THINKING = re.compile(rf"\b(?:{'|'.join(THINKING_SWITCHES)})\b")


def detect_tool_format(template_source: str) -> str | None:
    """The format of calls that a chat template shows; None where it shows none that is known."""
    for name, present, absent in _TOOL_SIGNS:
        if all(sign in template_source for sign in present) and not any(
            sign in template_source for sign in absent
        ):
            return name
    return None


def detect_reasoning_format(template_source: str) -> str | None:
    """The format of thoughts that a chat template shows; None where it shows none.

    DeepSeek's own templates without a switch for thinking are R1's: it always thinks. Elsewhere
    the prompt tells, by opening the thoughts or not.
    """
    if thoughts.END not in template_source:
        return None
    is_deepseek = "<｜Assistant｜>" in template_source
    return "deepseek-r1" if is_deepseek and not can_switch_thinking(template_source) else "qwen3"


def can_switch_thinking(template_source: str) -> bool:
    """Whether a chat template knows a variable that turns thoughts on or off."""
    return _CAN_SWITCH_THINKING.search(template_source) is not None


def markers(tool_format: str | None, reasoning_format: str | None) -> tuple[str, ...]:
    """The marks that the formats' parser needs to see, even where they are special tokens.

    Raises:
        ConfigError: a format is not known.
    """
    return (
        *(_known(TOOL_FORMATS, tool_format).markers if tool_format else ()),
        *(_known(REASONING_FORMATS, reasoning_format).markers if reasoning_format else ()),
    )


def make_answer_parser(
    tool_format: str | None,
    reasoning_format: str | None,
    *,
    tool_names: Collection[str],
    is_thinking: bool = False,
) -> AnswerParser:
    """A parser for one answer; None for a format means that there is nothing of the kind.

    Calls of functions that are not in ``tool_names`` are words of the answer. ``is_thinking`` says
    that the prompt opened the thoughts, so that the answer begins inside of them.

    Raises:
        ConfigError: a format is not known.
    """
    reasoning = _known(REASONING_FORMATS, reasoning_format) if reasoning_format else None
    scan_calls = _known(TOOL_FORMATS, tool_format).scan if tool_format else None
    names = frozenset(tool_names)

    def scan_words(tape: Tape) -> Scan[None]:
        return scan_calls(tape, names) if scan_calls else say_everything(tape)

    return ScannedAnswer(
        scan_words,
        has_thoughts=reasoning is not None,
        is_thinking=reasoning is not None and (is_thinking or reasoning.is_always_thinking),
    )


def _known(formats: dict[str, Format], name: str) -> Format:
    if name not in formats:
        raise ConfigError(f"no format of answers is called {name!r}; known: {', '.join(formats)}")
    return formats[name]
