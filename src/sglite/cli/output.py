"""What commands print: answers to standard output, everything about them to standard error."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sglite.request import FinishReason

if TYPE_CHECKING:
    from sglite.generation import Generation, GenerationChunk

# A model may write escape sequences; a terminal would obey them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def say(text: str) -> None:
    """Print a line for the person at the terminal, not for the program that reads the answer."""
    print(text, file=sys.stderr, flush=True)


def say_on_terminal(text: str) -> None:
    """Print a line that only a person reads: nothing where standard error goes to a file."""
    if sys.stderr.isatty():
        say(text)


def write_pieces(
    chunks: Iterable[GenerationChunk], *, log_level: str
) -> tuple[str, Generation | None]:
    """Write an answer as it comes; its text, and the generation where it came to its end.

    At level ``debug`` every step is logged: the answer then is written in one piece at the end, so
    that the two do not run into each other.
    """
    is_held = log_level == "debug"
    pieces, finished, was_reasoning = [], None, False
    for chunk in chunks:
        if was_reasoning and not chunk.reasoning:
            say("")
        was_reasoning = bool(chunk.reasoning)
        if was_reasoning:
            _write_reasoning(chunk.reasoning)
        pieces.append(chunk.text)
        finished = chunk.finished or finished
        if not is_held:
            write_answer(chunk.text)
    if is_held:
        write_answer("".join(pieces))
    return "".join(pieces), finished


def write_answer(text: str) -> None:
    """Write a piece of an answer at once; without control characters where a terminal shows it."""
    sys.stdout.write(_CONTROL.sub("�", text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def _write_reasoning(text: str) -> None:
    """Write what the model thinks for the person at the terminal, faintly."""
    shown = _CONTROL.sub("�", text)
    print(f"\x1b[2m{shown}\x1b[0m" if sys.stderr.isatty() else text, end="", file=sys.stderr)
    sys.stderr.flush()


def write_json(value: Any) -> None:
    """Write one JSON document and a line end."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def tokens_per_second(generation: Generation) -> float:
    """Output tokens per second of the whole time from arrival to end."""
    return generation.num_output_tokens / max(generation.e2e_s, 1e-9)


def summary(generation: Generation) -> str:
    """One line of figures about an answer."""
    return (
        f"latency={generation.e2e_s:.2f}s tokens={generation.num_output_tokens} "
        f"prompt={generation.num_prompt_tokens} cached={generation.num_cached_tokens} "
        f"tokens/s={tokens_per_second(generation):.1f} finish={generation.finish_reason.value}"
    )


def is_complete(generation: Generation) -> bool:
    """True where the answer ended by itself or by its length."""
    return generation.finish_reason in (FinishReason.STOP, FinishReason.LENGTH)
