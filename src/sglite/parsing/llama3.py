"""Calls as Llama 3.1 to 3.3 write them: after a tag, or bare where the answer begins.

    <|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris"}}
    {"name": "f", "parameters": {}}; {"name": "g", "parameters": {}}

A bare object is only read as a call while its keys are a call's: answers in JSON are words.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from sglite.parsing.json_calls import JsonCall
from sglite.parsing.tape import SPACE, Markers, Scan, Tape
from sglite.parsing.words import next_marker

TAG = "<|python_tag|>"
_TAG = Markers([TAG])
_KEYS = frozenset({"name", "parameters", "arguments", "type", "id"})
_SEPARATOR = re.compile(r"[; \t\r\n]*")


def scan_llama3(tape: Tape, tool_names: Collection[str]) -> Scan[None]:
    """Tell the answer's calls of ``tool_names`` and say the rest."""
    tape.hold()
    yield from tape.take_run(SPACE)
    is_told = False
    if (yield from tape.peek()) == "{":
        is_told = yield from _read_calls(tape, tool_names)
    while (yield from next_marker(tape, _TAG, is_after_call=is_told)):
        yield from tape.take_run(SPACE)
        is_told = yield from _read_calls(tape, tool_names)


def _read_calls(tape: Tape, tool_names: Collection[str]) -> Scan[bool]:
    """Read objects with separators between them; whether the last of them was told."""
    is_told = False
    while (yield from tape.peek()) == "{":
        is_told = yield from JsonCall(tape, tool_names, _KEYS).read()
        if not is_told:
            return False
        tape.hold()
        yield from tape.take_run(_SEPARATOR)
    if not is_told:
        tape.say()
    return is_told
