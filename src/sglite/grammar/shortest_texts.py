r"""A shortest text of an expression, computed from the expression itself.

A search through a matcher sees only what may come next; here the whole expression is known, so
the way out of ``(.{20}\||x-){8}`` is a matter of adding up lengths.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from sglite.grammar.expressions import Alt, Chars, Expression, Ranges, Ref, Repeat, Seq, walk

MAX_CHARS = 16_384
"""Longer texts are not written out."""
EASY_CHARS = 'a0 "z-Z_:.,;/)]}'
"""Preferred where several characters fit: most vocabularies have a token of each."""


def shortest_text(
    expression: Expression, rules: Mapping[str, Expression] | None = None
) -> str | None:
    """One of the texts with the fewest characters; ``rules`` are those that it refers to.

    None where there is none, or none of at most MAX_CHARS.
    """
    return _shortest(expression, _texts_of_rules(rules or {}))


def _texts_of_rules(rules: Mapping[str, Expression]) -> dict[str, str]:
    """A shortest text of each rule that has one (Knuth's generalisation of Dijkstra's method).

    Of the rules that are not settled yet, the one with the shortest text can settle: what the
    others may still contribute is at least as long.
    """
    users: dict[str, set[str]] = {}
    for name, expression in rules.items():
        for node in walk(expression):
            if isinstance(node, Ref):
                users.setdefault(node.name, set()).add(name)
    settled: dict[str, str] = {}
    found = [(len(t), name, t) for name in rules if (t := _shortest(rules[name], {})) is not None]
    heapq.heapify(found)
    while found:
        _, name, settled_text = heapq.heappop(found)
        if name in settled:
            continue
        settled[name] = settled_text
        for user in users.get(name, set()) - settled.keys():
            text = _shortest(rules[user], settled)
            if text is not None:
                heapq.heappush(found, (len(text), user, text))
    return settled


def _shortest(expression: Expression, settled: Mapping[str, str]) -> str | None:
    """A shortest text of those that need settled rules alone."""
    if isinstance(expression, Chars):
        return _easy_char(expression.ranges) if expression.ranges else None
    if isinstance(expression, Ref):
        return settled.get(expression.name)
    if isinstance(expression, Alt):
        texts = [_shortest(option, settled) for option in expression.options]
        return min((text for text in texts if text is not None), key=len, default=None)
    if isinstance(expression, Seq):
        return _joined([_shortest(part, settled) for part in expression.parts])
    return _repeated(expression, settled)


def _joined(texts: list[str | None]) -> str | None:
    known = [text for text in texts if text is not None]
    is_whole = len(known) == len(texts) and sum(map(len, known)) <= MAX_CHARS
    return "".join(known) if is_whole else None


def _repeated(repeat: Repeat, settled: Mapping[str, str]) -> str | None:
    if not repeat.least:
        return ""
    once = _shortest(repeat.body, settled)
    if once is None or len(once) * repeat.least > MAX_CHARS:
        return None
    return once * repeat.least


def _easy_char(ranges: Ranges) -> str:
    for char in EASY_CHARS:
        if any(low <= ord(char) <= high for low, high in ranges):
            return char
    # Control characters, which JSON forbids in strings, are rarely all that there is.
    printable = (max(low, 0x20) for low, high in ranges if high >= 0x20)
    return chr(next(printable, ranges[0][0]))
