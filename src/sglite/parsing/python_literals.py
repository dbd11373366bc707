"""Python's literals, read from a tape and written as JSON text.

No evaluation: a scanner of strings, numbers, True, False, None, lists, tuples and dicts with string
keys, as far as their text has come. It refuses the rest at the first character that is none.
"""

from __future__ import annotations

import json
import re
import sys

from sglite.parsing.tape import NAME, SPACE, Scan, Tape

MAX_DEPTH = 64
"""Brackets within brackets; deeper ones are refused."""

_WORD = re.compile(r"[0-9A-Za-z+\-._]*")
_CONSTANTS = {
    "True": "true", "False": "false", "None": "null",
    "true": "true", "false": "false", "null": "null",
}  # fmt: skip
_NUMBER = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eE][+-]?[0-9]+)?")
_UNESCAPED = {"'": re.compile(r"[^'\\]*"), '"': re.compile(r'[^"\\]*')}
_ESCAPES = {
    "n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "a": "\a", "0": "\0",
    "\\": "\\", "'": "'", '"': '"', "\n": "", "/": "/",
}  # fmt: skip
_HEX = re.compile(r"[0-9A-Fa-f]+")
_HEX_SIZES = {"x": 2, "u": 4, "U": 8}
_CLOSING = {"[": "]", "(": ")", "{": "}"}


def read_keywords(tape: Tape) -> Scan[str | None]:
    """Read ``a=1, b="x")``, after the bracket, as the text of a JSON object; None if it is not."""
    members: dict[str, str] = {}
    while True:
        yield from tape.take_run(SPACE)
        if (yield from tape.peek()) == ")":
            tape.take()
            return _object(members)
        key = yield from tape.take_run(NAME)
        value = (yield from _read_value_after(tape, "=", 0)) if key else None
        if value is None or not (yield from _take_comma(tape, ")")):
            return None
        members[json.dumps(key)] = value


def read_literal(tape: Tape, depth: int = 0) -> Scan[str | None]:
    """Read the literal that comes next, inside of ``depth`` brackets, as JSON text; None if none.

    A repeated key of a dict counts as its last one, as in Python.
    """
    yield from tape.take_run(SPACE)
    first = yield from tape.peek()
    if first in _UNESCAPED:
        return (yield from _read_string(tape))
    if first not in _CLOSING:
        return _scalar((yield from tape.take_run(_WORD)))
    if depth == MAX_DEPTH:
        return None
    tape.take()
    if first == "{":
        return (yield from _read_dict(tape, depth + 1))
    return (yield from _read_items(tape, _CLOSING[first], depth + 1))


def _object(members: dict[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in members.items()) + "}"


def _take_comma(tape: Tape, closing: str) -> Scan[str]:
    """Take a comma, or find ``closing``, and return it; empty if there is neither."""
    yield from tape.take_run(SPACE)
    following = yield from tape.peek()
    if following == ",":
        return tape.take()
    return following if following == closing else ""


def _read_value_after(tape: Tape, sign: str, depth: int) -> Scan[str | None]:
    yield from tape.take_run(SPACE)
    if (yield from tape.peek()) != sign:
        return None
    tape.take()
    return (yield from read_literal(tape, depth))


def _read_dict(tape: Tape, depth: int) -> Scan[str | None]:
    members: dict[str, str] = {}
    while True:
        yield from tape.take_run(SPACE)
        first = yield from tape.peek()
        if first == "}":
            tape.take()
            return _object(members)
        key = (yield from _read_string(tape)) if first in _UNESCAPED else None
        value = (yield from _read_value_after(tape, ":", depth)) if key else None
        if key is None or value is None or not (yield from _take_comma(tape, "}")):
            return None
        members[key] = value


def _read_items(tape: Tape, closing: str, depth: int) -> Scan[str | None]:
    """The items of a list or tuple; one in round brackets without a comma is itself."""
    items: list[str] = []
    is_alone = False
    while True:
        yield from tape.take_run(SPACE)
        if (yield from tape.peek()) == closing:
            tape.take()
            return items[0] if is_alone else "[" + ", ".join(items) + "]"
        item = yield from read_literal(tape, depth)
        following = yield from _take_comma(tape, closing)
        if item is None or not following:
            return None
        items.append(item)
        is_alone = following == ")" and len(items) == 1


def _scalar(word: str) -> str | None:
    """A constant or number as JSON text."""
    if word in _CONSTANTS:
        return _CONSTANTS[word]
    match = _NUMBER.fullmatch(word)
    if not match:
        return None
    sign, whole, fraction, exponent = match.groups(default="")
    if not whole and not fraction:
        return None
    digits = (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")
    return ("-" if sign == "-" else "") + digits + exponent


def _read_string(tape: Tape) -> Scan[str | None]:
    """Read a string as JSON text."""
    quote = tape.take()
    parts: list[str] = []
    while True:
        parts.append((yield from tape.take_run(_UNESCAPED[quote])))
        char = yield from tape.peek()
        tape.take()
        if char == quote:
            return _json_string("".join(parts))
        escaped = (yield from _read_escape(tape)) if char else None
        if escaped is None:
            return None
        parts.append(escaped)


def _read_escape(tape: Tape) -> Scan[str | None]:
    """What the escape after a backslash stands for; as in Python, an unknown one for itself."""
    char = yield from tape.peek()
    if not char:
        return None
    tape.take()
    if char not in _HEX_SIZES:
        return _ESCAPES.get(char, "\\" + char)
    digits = ""
    for _ in range(_HEX_SIZES[char]):
        digits += yield from tape.peek()
        tape.take()
    code = int(digits, 16) if _HEX.fullmatch(digits) else sys.maxunicode + 1
    return chr(code) if code <= sys.maxunicode else None


def _json_string(text: str) -> str:
    """``text`` as a JSON string; half a character, which no text may hold, as an escape."""
    is_whole = not any("\ud800" <= char <= "\udfff" for char in text)
    return json.dumps(text, ensure_ascii=not is_whole)
