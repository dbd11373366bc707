"""What may stop an answer, checked: stop strings, and regexes that cannot run away.

The standard library's ``re`` backtracks, and nothing can interrupt it. So a pattern is admitted by
its cost: the number of ways in which it can match a text of N characters, an upper bound read off
its parse tree. The largest N of :data:`WINDOWS` with a bearable cost is how much text the pattern
may span; a pattern that is too costly even for the smallest, such as ``(a+)+`` or ``(a|b c)*``, is
refused.
"""

from __future__ import annotations

import functools
import math
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sglite.errors import RequestError

if sys.version_info >= (3, 11):
    from re import _parser as sre_parse  # type: ignore[attr-defined]
else:
    import sre_parse

MAX_STOPS = 16
MAX_STOP_CHARS = 256

WINDOWS = (256, 128, 64, 32)
"""Characters that a regex match may span, the first affordable one."""

CHUNK_CHARS = 16
"""Most new characters that one search adds to the window (``stop_checker`` keeps to it)."""

MAX_STEPS = 1_000_000
"""Bound on the backtracking of all searches for a chunk: 15 ms at worst, mostly microseconds."""

_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


@dataclass(frozen=True, slots=True)
class StopRegex:
    """A compiled regex and the number of characters that its matches may span."""

    pattern: re.Pattern[str]
    window: int


def check_stop_strings(stop: Iterable[str]) -> tuple[str, ...]:
    """The stop strings, unless there are too many, or one is empty or too long (RequestError)."""
    strings = tuple(stop)
    _check_texts(strings, "stop")
    return strings


def compile_stop_regexes(stop_regex: Iterable[str]) -> tuple[StopRegex, ...]:
    """The compiled regexes. Raises RequestError for a bad, empty, or too costly one."""
    patterns = tuple(stop_regex)
    _check_texts(patterns, "stop_regex")
    max_steps = MAX_STEPS // max(len(patterns), 1)
    return tuple(_compile(pattern, max_steps) for pattern in patterns)


def _check_texts(texts: tuple[str, ...], param: str) -> None:
    if len(texts) > MAX_STOPS:
        raise RequestError(
            f"{param} has {len(texts)} entries; the limit is {MAX_STOPS}", param=param
        )
    for text in texts:
        if not isinstance(text, str) or not 1 <= len(text) <= MAX_STOP_CHARS:
            shown = repr(text)[:40]
            raise RequestError(
                f"{param} {shown} must be a string of 1 to {MAX_STOP_CHARS} characters", param=param
            )


@functools.lru_cache(maxsize=256)
def _compile(pattern: str, max_steps: int) -> StopRegex:
    try:
        compiled = re.compile(pattern)
        tree = sre_parse.parse(pattern)
    except (re.error, OverflowError, RecursionError, ValueError) as error:
        raise RequestError(
            f"stop_regex {pattern[:40]!r} is not a regular expression: {error}", param="stop_regex"
        ) from error
    window = _affordable_window(pattern, tree, max_steps)
    if compiled.search("") is not None:  # a search, too: not before its cost is known
        raise RequestError(
            f"stop_regex {pattern[:40]!r} matches the empty text, so it would stop at once",
            param="stop_regex",
        )
    return StopRegex(compiled, window)


def _affordable_window(pattern: str, tree: Any, max_steps: int) -> int:
    has_lookahead = "(?=" in pattern or "(?!" in pattern  # its characters are not in the width
    widest = WINDOWS[0] if has_lookahead else int(min(tree.getwidth()[1], WINDOWS[0]))
    for window in (max(widest, 1), *(size for size in WINDOWS if size < widest)):
        num_chars = window + CHUNK_CHARS
        if _num_ways(tree, num_chars) * num_chars <= max_steps:
            return window
    raise RequestError(
        f"stop_regex {pattern[:40]!r} could take too long to match: avoid repeats inside repeats, "
        "repeated alternatives, and several open-ended repeats",
        param="stop_regex",
    )


def _num_ways(tree: Any, window: int) -> int:
    """At most how many ways ``tree`` matches within ``window`` characters; saturates.

    The ends of k open-ended repeats in a row are in order, so window**k counts each choice of them
    k! times.
    """
    ways = 1
    num_open_ended = 0
    for operator, argument in tree:
        ways_of_node = _num_ways_of_node(str(operator), argument, window)
        num_open_ended += ways_of_node >= window - 1 and str(operator) in _REPEATS
        ways = min(ways * ways_of_node, (MAX_STEPS + 1) ** 2)
    return max(min(ways // math.factorial(min(num_open_ended, 4)), MAX_STEPS + 1), 1)


def _num_ways_of_node(operator: str, argument: Any, window: int) -> int:
    if operator in _REPEATS:
        return _num_ways_of_repeat(argument, window)
    if operator == "BRANCH":
        return sum(_num_ways(branch, window) for branch in argument[1])
    if operator == "GROUPREF_EXISTS":
        branches = [branch for branch in argument[1:] if branch is not None]
        return sum(_num_ways(branch, window) for branch in branches)
    if operator in ("SUBPATTERN", "ASSERT", "ASSERT_NOT"):
        return _num_ways(argument[-1], window)
    if operator == "ATOMIC_GROUP":
        return _num_ways(argument, window)
    return 1


def _num_ways_of_repeat(argument: Any, window: int) -> int:
    """Sum over the possible counts of the ways to match the body that often.

    A text does not bound how often nothing is matched: there each required time counts.
    """
    least, most, body = argument
    ways_of_body = _num_ways(body, window)
    num_required = max(least, 1) if body.getwidth()[0] == 0 else 1
    width = max(body.getwidth()[0], 1)
    longest = max(min(most, window // width), least)
    if ways_of_body == 1:
        return int(longest - least + 1) * num_required
    ways = min(ways_of_body ** min(least, MAX_STEPS.bit_length()), MAX_STEPS + 1)
    total = ways
    for _ in range(longest - least):
        ways = min(ways * ways_of_body, MAX_STEPS + 1)
        total = min(total + ways, MAX_STEPS + 1)
    return int(total) * num_required
