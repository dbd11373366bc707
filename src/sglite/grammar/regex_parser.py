r"""Python's regular expressions as expressions over characters.

Python itself parses them, so that their meaning is Python's: whatever an expression here produces,
``re.fullmatch`` accepts. Not the other way around: ``\d`` and ``\w`` produce ASCII alone, and
``\W`` too. What is no regular language (look-around, back-references) is refused by name.
"""

from __future__ import annotations

import importlib
import re
import sys
import warnings
from collections.abc import Iterable
from typing import Any

from sglite.errors import RequestError
from sglite.grammar.expressions import (
    EMPTY,
    MAX_CODE_POINT,
    Alt,
    Chars,
    Expression,
    Ranges,
    Repeat,
    Seq,
    complement,
    merge,
)
from sglite.grammar.limits import check_regex_size, check_repeats

_parser: Any = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")

ANYTHING: Ranges = complement(())
LINE_BREAK: Ranges = ((10, 10),)
BEYOND_ASCII = (0x80, MAX_CODE_POINT)
SEPARATORS = (0x1C, 0x1F)
"""White space to Python, except in patterns that know ASCII alone."""

REFUSED = {
    "ASSERT": "look-ahead or look-behind, (?=...) or (?<=...)",
    "ASSERT_NOT": "negative look-ahead or look-behind, (?!...) or (?<!...)",
    "GROUPREF": "a back-reference",
    "GROUPREF_EXISTS": "a conditional group, (?(1)...)",
    "ATOMIC_GROUP": "an atomic group, (?>...)",
    "POSSESSIVE_REPEAT": "a possessive repeat such as a*+",
}
"""Constructs of Python that no finite automaton does, or that none of the libraries has."""


def parse_regex(pattern: str, *, param: str = "regex", is_search: bool = False) -> Expression:
    """The texts that ``re.fullmatch`` accepts, or with ``is_search`` those of ``re.search``.

    Raises RequestError with ``param`` where the pattern is invalid, too large or not regular.
    """
    check_regex_size(pattern, param)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = _parser.parse(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise RequestError(f"{param} is no regular expression: {error}", param=param) from error
    expression = _Translator(param, tree.state.flags, is_search=is_search).translate(tree)
    check_repeats(expression, param)
    return expression


class _Translator:
    """One pattern's parse tree to an expression.

    ``flags`` hold for all of the pattern; a group may change them for itself.
    """

    def __init__(self, param: str, flags: int, *, is_search: bool) -> None:
        self._param = param
        self._flags = flags
        self._is_search = is_search

    def translate(self, tree: Any) -> Expression:
        """The whole pattern."""
        if self._is_search:
            return self._around(list(tree), before=True, after=True)
        return self._sequence(tree, at_start=True, at_end=True)

    def _around(self, items: list[Any], *, before: bool, after: bool) -> Expression:
        """The pattern with any text before and after it, as far as it is not anchored.

        Each option of a choice has its own anchors, also where the choice is a group.
        """
        if before and items and _has_anchor(items[0]):
            if str(items[0][0]) == "AT" and not _is_end(items[0]):
                return self._around(items[1:], before=False, after=after)
            heads = self._checked_options(items[0])
            return Alt(tuple(self._around(h + items[1:], before=True, after=after) for h in heads))
        if after and items and _has_anchor(items[-1]):
            if str(items[-1][0]) == "AT" and _is_end(items[-1]):
                return self._around(items[:-1], before=before, after=False)
            tails = self._checked_options(items[-1])
            return Alt(
                tuple(self._around(items[:-1] + t, before=before, after=True) for t in tails)
            )
        anything = Repeat(Chars(ANYTHING), 0, None)
        match = self._sequence(items, at_start=not before, at_end=not after)
        return Seq((anything if before else EMPTY, match, anything if after else EMPTY))

    def _checked_options(self, item: Any) -> list[list[Any]]:
        if str(item[0]) == "AT":
            raise self._refusal("$ at its start or ^ at its end, which nothing fits")
        return _options(item)

    def _sequence(self, items: Iterable[Any], *, at_start: bool, at_end: bool) -> Expression:
        listed = list(items)
        parts = []
        for index, (op, argument) in enumerate(listed):
            is_first = at_start and all(str(earlier[0]) == "AT" for earlier in listed[:index])
            is_last = at_end and all(str(later[0]) == "AT" for later in listed[index + 1 :])
            parts.append(self._item(str(op), argument, at_start=is_first, at_end=is_last))
        return parts[0] if len(parts) == 1 else Seq(tuple(parts))

    def _item(self, op: str, argument: Any, *, at_start: bool, at_end: bool) -> Expression:
        if op in REFUSED:
            raise self._refusal(f"{REFUSED[op]}, which cannot be enforced; rewrite it without")
        if op == "AT":
            return self._anchor(str(argument), at_start=at_start, at_end=at_end)
        if op == "BRANCH":
            options = (
                self._sequence(option, at_start=at_start, at_end=at_end) for option in argument[1]
            )
            return Alt(tuple(options))
        if op == "SUBPATTERN":
            return self._group(argument, at_start=at_start, at_end=at_end)
        if op in ("MAX_REPEAT", "MIN_REPEAT"):
            least, most, body = argument
            inner = self._sequence(body, at_start=False, at_end=False)
            return Repeat(inner, int(least), None if most is _parser.MAXREPEAT else int(most))
        return Chars(self._characters(op, argument))

    def _group(self, argument: Any, *, at_start: bool, at_end: bool) -> Expression:
        _, added, removed, body = argument
        flags = self._flags
        self._flags = (flags | added) & ~removed
        inner = self._sequence(body, at_start=at_start, at_end=at_end)
        self._flags = flags
        return inner

    def _anchor(self, name: str, *, at_start: bool, at_end: bool) -> Expression:
        is_start = name in ("AT_BEGINNING", "AT_BEGINNING_STRING")
        is_end = name in ("AT_END", "AT_END_STRING")
        if (is_start and at_start) or (is_end and at_end):
            return EMPTY
        if is_start or is_end:
            raise self._refusal("^ or $ in its middle; they are possible at its ends alone")
        raise self._refusal(r"\b or \B, which cannot be enforced; rewrite it without")

    def _characters(self, op: str, argument: Any) -> Ranges:
        if op == "LITERAL":
            return self._with_case(merge([(argument, argument)]), exactly=True)
        if op == "NOT_LITERAL":
            return complement(self._with_case(merge([(argument, argument)]), exactly=False))
        if op == "ANY":
            return ANYTHING if self._flags & re.DOTALL else complement(LINE_BREAK)
        if op == "IN":
            return self._class(list(argument))
        raise self._refusal(f"{op}, which is not supported")

    def _class(self, items: list[Any]) -> Ranges:
        is_negated = str(items[0][0]) == "NEGATE"
        ranges: list[tuple[int, int]] = []
        for op, argument in items[is_negated:]:
            if str(op) == "CATEGORY":
                ranges.extend(self._category(str(argument), exactly=not is_negated))
            elif str(op) == "RANGE":
                ranges.append(argument)
            else:
                ranges.append((argument, argument))
        merged = self._with_case(merge(ranges), exactly=not is_negated)
        return complement(merged) if is_negated else merged

    def _category(self, name: str, *, exactly: bool) -> Ranges:
        r"""Characters of ``\d`` and the like: only such, or at least all of them."""
        kind = name.removeprefix("CATEGORY_")
        positive = kind.removeprefix("NOT_")
        ascii_chars = merge([(c, c) for c in range(0x80) if _is_in(positive, chr(c))])
        is_unicode = not self._flags & re.ASCII
        wide = merge([*ascii_chars, SEPARATORS, BEYOND_ASCII]) if is_unicode else ascii_chars
        if kind == positive:
            return ascii_chars if exactly else wide
        return complement(wide if exactly else ascii_chars)

    def _with_case(self, ranges: Ranges, *, exactly: bool) -> Ranges:
        """Both cases of letters where case is ignored: only such, or at least all of them."""
        if not self._flags & re.IGNORECASE:
            return ranges
        ascii_codes = [c for low, high in ranges for c in range(low, min(high, 0x7F) + 1)]
        swapped = [(ord(chr(c).swapcase()), ord(chr(c).swapcase())) for c in ascii_codes]
        return merge([*ranges, *swapped, *([] if exactly else [BEYOND_ASCII])])

    def _refusal(self, what: str) -> RequestError:
        return RequestError(f"{self._param} has {what}", param=self._param)


def _is_end(item: Any) -> bool:
    return str(item[1]) in ("AT_END", "AT_END_STRING")


def _has_anchor(item: Any) -> bool:
    """Whether an anchor stands in the item where it can be taken out of it."""
    op, argument = str(item[0]), item[1]
    if op == "AT":
        return "BOUNDARY" not in str(argument)
    return op in ("BRANCH", "SUBPATTERN") and any(
        _has_anchor(inner) for option in _options(item) for inner in option
    )


def _options(item: Any) -> list[list[Any]]:
    """The sequences of a choice or a group; none of a group with flags of its own."""
    if str(item[0]) == "BRANCH":
        return [list(option) for option in item[1][1]]
    return [] if any(item[1][1:3]) else [list(item[1][3])]


def _is_in(category: str, char: str) -> bool:
    if category == "SPACE":
        return char in " \t\n\r\f\v"
    return char.isdigit() if category == "DIGIT" else char.isalnum() or char == "_"
