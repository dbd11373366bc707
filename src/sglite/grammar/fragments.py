"""Texts that a grammar's patterns look for: what a search for its end would hardly guess.

Where any text may stand around ``ab``, nothing tells that ``a`` leads on and ``x`` does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from sglite.errors import RequestError
from sglite.grammar.expressions import Alt, Chars, Expression, Ranges, Ref, Repeat, Seq
from sglite.grammar.regex_parser import parse_regex
from sglite.request import GrammarSpec

MAX_FRAGMENTS = 32
FAVOURITES = "a0A -"
FIRST_PRINTABLE = 0x20


def find_fragments(spec: GrammarSpec) -> list[bytes]:
    """A short text for each of the first patterns in ``spec``, as they stand in its answers."""
    if spec.kind == "regex":
        return _texts([spec.text], is_json=False)
    if spec.kind in ("json_schema", "structural_tag"):
        return _texts(_patterns(json.loads(spec.text)), is_json=True)
    return []


def _texts(patterns: Iterable[str], *, is_json: bool) -> list[bytes]:
    texts: dict[bytes, None] = {}
    for pattern in patterns:
        if len(texts) == MAX_FRAGMENTS:
            break
        with suppress(RequestError):  # whoever compiles the grammar says what is wrong
            # Any text around it is left out, where a pattern is only searched for.
            text = shortest_text(parse_regex(pattern))
            written = json.dumps(text, ensure_ascii=False)[1:-1] if is_json else text
            texts[written.encode("utf-8")] = None
    return list(texts)


def _patterns(schema: Any) -> Iterator[str]:
    """All that may be patterns, those of names too; in the order in which they stand there."""
    stack = [schema]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if isinstance(value.get("pattern"), str):
                yield value["pattern"]
            if isinstance(value.get("patternProperties"), dict):
                yield from value["patternProperties"]
            stack.extend(reversed(value.values()))
        elif isinstance(value, list):
            stack.extend(reversed(value))


def shortest_text(expression: Expression) -> str:
    """One of the shortest texts that fit, in plain characters where that is possible.

    Characters that nothing fits count as none.
    """
    if isinstance(expression, Chars):
        return _character(expression.ranges)
    if isinstance(expression, Seq):
        return "".join(map(shortest_text, expression.parts))
    if isinstance(expression, Alt):
        return min(map(shortest_text, expression.options), key=len)
    if isinstance(expression, Repeat):
        return shortest_text(expression.body) * expression.least if expression.least else ""
    assert isinstance(expression, Ref)
    raise TypeError(f"{expression} is no regular expression")


def _character(ranges: Ranges) -> str:
    for char in FAVOURITES:
        if any(low <= ord(char) <= high for low, high in ranges):
            return char
    printable = (max(low, FIRST_PRINTABLE) for low, high in ranges if high >= FIRST_PRINTABLE)
    code = next(printable, ranges[0][0] if ranges else None)
    return "" if code is None else chr(code)
