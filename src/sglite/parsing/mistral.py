"""Calls as Mistral's models write them: a list until 2024, one by one since.

    [TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Paris"}}, ...]
    [TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}[TOOL_CALLS]...

In between came ``[TOOL_CALLS]name[CALL_ID]0aF3xYz12[ARGS]{...}`` and ``[TOOL_CALLS]name{...}``.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from sglite.parsing.json_calls import JsonCall, read_call_of
from sglite.parsing.tape import NAME, SPACE, Markers, Scan, Tape
from sglite.parsing.words import next_marker, take_end

BEGIN = "[TOOL_CALLS]"
ARGUMENTS = "[ARGS]"
CALL_ID = "[CALL_ID]"
_BEGIN = Markers([BEGIN])
_ARGUMENTS = Markers([ARGUMENTS])
_CALL_ID = Markers([CALL_ID])
_LIST_END = Markers(["]"])
_BETWEEN = re.compile(r"[, \t\r\n]*")


def scan_mistral(tape: Tape, tool_names: Collection[str]) -> Scan[None]:
    """Tell the answer's calls of ``tool_names`` and say the rest."""
    is_told = False
    while (yield from next_marker(tape, _BEGIN, is_after_call=is_told)):
        yield from tape.take_run(SPACE)
        first = yield from tape.peek()
        if first == "[":
            is_told = yield from _read_list(tape, tool_names)
        elif first == "{":
            is_told = yield from JsonCall(tape, tool_names).read()
        else:
            is_told = yield from _read_named(tape, tool_names)


def _read_list(tape: Tape, tool_names: Collection[str]) -> Scan[bool]:
    """Read a list of calls; whether the last of them was told."""
    tape.take()
    yield from tape.take_run(_BETWEEN)
    is_told = False
    while (yield from tape.peek()) == "{":
        is_told = yield from JsonCall(tape, tool_names).read()
        tape.hold()
        yield from tape.take_run(_BETWEEN)
    yield from take_end(tape, _LIST_END, is_told=is_told)
    if not is_told:
        tape.say()
    return is_told


def _read_named(tape: Tape, tool_names: Collection[str]) -> Scan[bool]:
    """Read one call whose name stands before its arguments; whether it was told."""
    name = yield from tape.take_run(NAME)
    if (yield from tape.take_one_of(_CALL_ID)):
        yield from tape.take_run(NAME)
    has_tag = yield from tape.take_one_of(_ARGUMENTS)
    if not name or not (has_tag or (yield from tape.peek()) == "{"):
        tape.say()
        return False
    return (yield from read_call_of(tape, name, tool_names))
