"""Calls as Llama 4 and models trained for it write them: a list of calls in Python.

    [get_weather(city="Paris"), get_time(zones=["CET", None])]

Llama 4 may put the list between ``<|python_start|>`` and ``<|python_end|>``. A call is told when it
is complete, its arguments turned into JSON. Arguments have names; their values are literals. A list
that does not begin with a call of a function that was offered is words, and so is all of a list
from the first thing in it that is no such call.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from sglite.parsing.python_literals import read_keywords
from sglite.parsing.tape import NAME, SPACE, Markers, Scan, Tape
from sglite.parsing.words import next_marker, take_end

PYTHON_START = "<|python_start|>"
PYTHON_END = "<|python_end|>"
_BEGIN = Markers([PYTHON_START, "["])
_LIST_END = Markers(["]"])
_END = Markers([PYTHON_END])
_BETWEEN = re.compile(r"[, \t\r\n]*")


def scan_pythonic(tape: Tape, tool_names: Collection[str]) -> Scan[None]:
    """Tell the answer's calls of ``tool_names`` and say the rest."""
    is_told = False
    while marker := (yield from next_marker(tape, _BEGIN, is_after_call=is_told)):
        is_list = marker == "["
        if not is_list:
            yield from tape.take_run(SPACE)
            if (yield from tape.peek()) == "[":
                tape.take()
                is_list = True
        is_told = is_list and (yield from _read_list(tape, tool_names))
        if is_told:
            yield from take_end(tape, _LIST_END, _END, is_told=True)
        else:
            tape.say()


def _read_list(tape: Tape, tool_names: Collection[str]) -> Scan[bool]:
    """Read calls up to the list's end, which is left; whether it holds nothing else."""
    is_told = False
    while True:
        yield from tape.take_run(_BETWEEN)
        name = yield from tape.take_run(NAME)
        following = yield from tape.peek()
        if not name:
            return is_told and following in ("]", "")
        if name not in tool_names or following != "(":
            return False
        tape.take()
        arguments = yield from read_keywords(tape)
        if arguments is None:
            return False
        tape.drop()
        tape.findings.begin_call(name)
        tape.findings.add_arguments(arguments)
        tape.hold()
        is_told = True
