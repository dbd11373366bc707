"""Calls written as JSON: ``{"name": "f", "arguments": {"a": 1}}``, told while they come.

A call is told as soon as its name is known; its arguments follow in the model's own spelling, as
they come. What is not such a call is words of the answer, and so is a call of a function that
nobody offered: its caller could do nothing with it, and dropping it would hide what was said.

Lenient where models are sloppy: other keys are passed over; arguments may come before the name, be
missing or null (``{}``), or be a string that holds the object (unwrapped).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection

from sglite.parsing.tape import SPACE, Scan, Tape

_IN_STRING = re.compile(r'[^"\\]*')
_SCALAR = re.compile(r"[0-9A-Za-z+\-._]*")
# What may stand between the brackets and strings of a value. "<" and "`" never do: the call ends
# there, and the model has forgotten to close a bracket.
_IN_VALUE = re.compile(r'[^"{}\[\]<`]*')
_CLOSING = {"{": "}", "[": "]"}
_NO_ARGUMENTS = "{}"

Give = Callable[[str], object]
"""Takes the next part of a text."""


class JsonCall:
    """The call that may stand at the tape's place, where its ``{`` comes next.

    With ``known_keys``, an object that has another key is no call.
    """

    def __init__(
        self, tape: Tape, tool_names: Collection[str], known_keys: Collection[str] | None = None
    ) -> None:
        self._tape = tape
        self._tool_names = tool_names
        self._known_keys = known_keys
        self._is_told = False
        self._is_refused = False
        self._has_arguments = False
        self._early_arguments: list[str] = []

    def read(self) -> Scan[bool]:
        """Read the object and tell it, if it is a call; returns whether it was.

        Otherwise it, and what was held before it, has been said. What is broken ends where it
        breaks; a call that was told by then keeps the arguments that it has.
        """
        self._tape.take()
        while (yield from self._read_member()):
            yield from self._tape.take_run(SPACE)
            following = yield from self._tape.peek()
            if following not in (",", "}"):
                break
            self._tape.take()
            if following == "}":
                self._complete()
                break
        if not self._is_told:
            self._tape.say()
        return self._is_told

    def _complete(self) -> None:
        """The object is whole."""
        if self._is_told and not self._has_arguments:
            self._give_arguments(_NO_ARGUMENTS)

    def _read_member(self) -> Scan[bool]:
        """Read a key and its value; False where it is broken."""
        tape = self._tape
        yield from tape.take_run(SPACE)
        key = yield from _read_text(tape)
        if self._known_keys is not None and key not in self._known_keys:
            self._refuse()
        yield from tape.take_run(SPACE)
        if key is None or (yield from tape.peek()) != ":":
            return False
        tape.take()
        yield from tape.take_run(SPACE)
        if key == "name" and not self._is_told and not self._is_refused:
            return (yield from self._read_name())
        if key in ("arguments", "parameters") and not self._has_arguments:
            self._has_arguments = True
            return (yield from read_arguments(tape, self._give_arguments))
        return (yield from _read_value(tape, lambda _: None))

    def _read_name(self) -> Scan[bool]:
        name = yield from _read_text(self._tape)
        if name is None:
            return False
        if name not in self._tool_names:
            self._refuse()
            return True
        self._tape.drop()
        self._is_told = True
        self._tape.findings.begin_call(name)
        self._give_arguments("".join(self._early_arguments))
        return True

    def _refuse(self) -> None:
        """This is no call: all of it is words. It is read on, so that none is found inside it."""
        if not self._is_told:
            self._is_refused = True
            self._tape.say()

    def _give_arguments(self, json_text: str) -> None:
        if self._is_told:
            self._tape.findings.add_arguments(json_text)
        elif not self._is_refused:
            self._early_arguments.append(json_text)


def read_call_of(tape: Tape, name: str, tool_names: Collection[str]) -> Scan[bool]:
    """Read the arguments of a call of ``name``, which stands before them, and tell the call.

    Returns whether it was told: a function that is not in ``tool_names`` is said instead.
    """
    is_told = name in tool_names
    if is_told:
        tape.drop()
        tape.findings.begin_call(name)
    else:
        tape.say()
    give: Give = tape.findings.add_arguments if is_told else lambda _: None
    yield from tape.take_run(SPACE)
    if (yield from tape.peek()) == "<":  # the call's end
        give(_NO_ARGUMENTS)
    else:
        yield from read_arguments(tape, give)
    return is_told


def read_arguments(tape: Tape, give: Give) -> Scan[bool]:
    """Read the value that comes next and give its text as arguments, an object's as it comes.

    False where it is broken: what was given by then stands.
    """
    first = yield from tape.peek()
    if first in _CLOSING:
        return (yield from _read_value(tape, give))
    parts: list[str] = []
    is_whole = yield from _read_value(tape, parts.append)
    json_text = "".join(parts)
    if first == '"':
        json_text = _unwrapped(json_text)
    give(_NO_ARGUMENTS if json_text == "null" else json_text)
    return is_whole


def _unwrapped(json_string: str) -> str:
    """The object that a JSON string holds, as JSON text; the string itself if it holds none."""
    try:
        text = str(json.loads(json_string, strict=False)).strip() or _NO_ARGUMENTS
        is_object = isinstance(json.loads(text, strict=False), dict)
        text.encode()  # fails where an escape names half a character
    except (ValueError, RecursionError):
        return json_string
    return text if is_object else json_string


def _read_text(tape: Tape) -> Scan[str | None]:
    """Read a string and decode it; None where there is none, or a broken one."""
    if (yield from tape.peek()) != '"':
        return None
    parts: list[str] = []
    yield from _read_string(tape, parts.append)
    try:
        return str(json.loads("".join(parts), strict=False))
    except ValueError:
        return None


def _read_string(tape: Tape, give: Give) -> Scan[bool]:
    """Read the string whose quote comes next and give its JSON text; False if it does not end."""
    give(tape.take())
    while True:
        while part := (yield from tape.take_some(_IN_STRING)):
            give(part)
        char = yield from tape.peek()
        give(tape.take())
        if char != "\\":
            return char == '"'
        yield from tape.peek()
        give(tape.take())


def _read_value(tape: Tape, give: Give) -> Scan[bool]:
    """Read the value that comes next and give its text as it comes; False where it is broken."""
    open_brackets: list[str] = []
    while True:
        char = yield from tape.peek()
        if char == '"':
            if not (yield from _read_string(tape, give)):
                return False
        elif char in _CLOSING:
            open_brackets.append(char)
            give(tape.take())
        elif open_brackets and char == _CLOSING[open_brackets[-1]]:
            open_brackets.pop()
            give(tape.take())
        elif open_brackets:
            part = yield from tape.take_some(_IN_VALUE)
            if not part:
                return False
            give(part)
        else:
            scalar = yield from tape.take_run(_SCALAR)
            give(scalar)
            return bool(scalar)
        if not open_brackets:
            return True
