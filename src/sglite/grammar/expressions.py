"""Expressions over characters: what regular expressions, EBNF rules and choices are made of.

One tree for all of them, so that each library is told the same: as a regular expression in the
syntax of Rust, or as EBNF.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

MAX_CODE_POINT = 0x10FFFF
SURROGATES = (0xD800, 0xDFFF)

Ranges = tuple[tuple[int, int], ...]
"""Code points: ascending, apart from each other, both ends included, no surrogates."""


@dataclass(frozen=True, slots=True)
class Chars:
    """Any one of these characters; none fits if there are no ranges."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Seq:
    """One part after the other; the empty text if there is none."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Alt:
    """Any one of the options; at least one."""

    options: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """``body`` as often as said; ``most`` None is without end."""

    body: Expression
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Ref:
    """A rule of an EBNF grammar."""

    name: str


Expression = Chars | Seq | Alt | Repeat | Ref

EMPTY = Seq(())


def merge(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The same characters as :data:`Ranges`."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(_without_surrogates(ranges)):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def complement(ranges: Ranges) -> Ranges:
    """All other characters."""
    others = []
    start = 0
    for low, high in ranges:
        if start < low:
            others.append((start, low - 1))
        start = high + 1
    return merge([*others, (start, MAX_CODE_POINT)] if start <= MAX_CODE_POINT else others)


def overlap(first: Ranges, second: Ranges) -> bool:
    """Whether a character is in both."""
    i = j = 0
    while i < len(first) and j < len(second):
        if first[i][1] < second[j][0]:
            i += 1
        elif second[j][1] < first[i][0]:
            j += 1
        else:
            return True
    return False


def literal(text: str) -> Expression:
    """Just this text."""
    chars = tuple(Chars(((ord(char), ord(char)),)) for char in text)
    return chars[0] if len(chars) == 1 else Seq(chars)


def children(expression: Expression) -> tuple[Expression, ...]:
    """The direct parts of an expression."""
    if isinstance(expression, Seq):
        return expression.parts
    if isinstance(expression, Alt):
        return expression.options
    return (expression.body,) if isinstance(expression, Repeat) else ()


def walk(expression: Expression) -> Iterator[Expression]:
    """An expression and all of its parts."""
    stack = [expression]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(children(node))


def map_refs(expression: Expression, change: Callable[[Ref], Expression]) -> Expression:
    """The expression with something else in the place of each reference."""
    if isinstance(expression, Ref):
        return change(expression)
    if isinstance(expression, Seq):
        return Seq(tuple(map_refs(part, change) for part in expression.parts))
    if isinstance(expression, Alt):
        return Alt(tuple(map_refs(option, change) for option in expression.options))
    if isinstance(expression, Repeat):
        return Repeat(map_refs(expression.body, change), expression.least, expression.most)
    return expression


def rust_regex(expression: Expression) -> str:
    """The expression, which has no references, in the syntax of Rust's `regex`."""
    if isinstance(expression, Chars):
        return _rust_chars(expression.ranges)
    if isinstance(expression, Seq):
        return "".join(map(rust_regex, expression.parts)) or "(?:)"
    if isinstance(expression, Alt):
        return "(?:" + "|".join(map(rust_regex, expression.options)) + ")"
    if isinstance(expression, Repeat):
        return f"(?:{rust_regex(expression.body)}){bounds(expression)}"
    raise TypeError(f"{expression} is no regular expression")


def ebnf(expression: Expression) -> str:
    """The expression as it stands on the right of a rule of xgrammar's EBNF."""
    if isinstance(expression, Chars):
        return _ebnf_chars(expression.ranges)
    if isinstance(expression, Seq):
        return " ".join(_ebnf_part(part) for part in expression.parts) or '""'
    if isinstance(expression, Alt):
        return " | ".join(_ebnf_part(option) for option in expression.options)
    if isinstance(expression, Repeat):
        return f"({ebnf(expression.body)}){bounds(expression)}"
    return expression.name


def _ebnf_part(expression: Expression) -> str:
    is_group = isinstance(expression, (Seq, Alt))
    return f"({ebnf(expression)})" if is_group else ebnf(expression)


def bounds(repeat: Repeat) -> str:
    """How often, in the signs that all the syntaxes share."""
    known = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((repeat.least, repeat.most))
    if known is not None:
        return known
    return f"{{{repeat.least},{'' if repeat.most is None else repeat.most}}}"


def _rust_chars(ranges: Ranges) -> str:
    if not ranges:
        return r"[^\x{0}-\x{10FFFF}]"
    items = (
        _rust_char(low) if low == high else f"{_rust_char(low)}-{_rust_char(high)}"
        for low, high in ranges
    )
    is_single = len(ranges) == 1 and ranges[0][0] == ranges[0][1]
    return "".join(items) if is_single else f"[{''.join(items)}]"


def _rust_char(code: int) -> str:
    is_plain = code < 0x80 and (chr(code).isalnum() or chr(code) in " _,;:<>=!@%")
    return chr(code) if is_plain else f"\\x{{{code:X}}}"


def _ebnf_chars(ranges: Ranges) -> str:
    items = (
        _ebnf_char(low) if low == high else f"{_ebnf_char(low)}-{_ebnf_char(high)}"
        for low, high in ranges
    )
    return f"[{''.join(items)}]"


def _ebnf_char(code: int) -> str:
    return chr(code) if code < 0x80 and chr(code).isalnum() else f"\\U{code:08X}"


def _without_surrogates(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    first, last = SURROGATES
    for low, high in ranges:
        for part in ((low, min(high, first - 1)), (max(low, last + 1), high)):
            if part[0] <= part[1]:
                yield part
