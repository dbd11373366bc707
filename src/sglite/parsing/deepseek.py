r"""Calls as DeepSeek V3 and R1 write them, and as V3.1 does.

<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather
```json
{"city": "Paris"}
```<｜tool▁call▁end｜><｜tool▁calls▁end｜>

<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Paris"}
<｜tool▁call▁end｜><｜tool▁calls▁end｜>                                   (on one line)
"""

from __future__ import annotations

from collections.abc import Collection

from sglite.parsing.json_calls import read_call_of
from sglite.parsing.tape import NAME, SPACE, Markers, Scan, Tape
from sglite.parsing.words import next_marker, take_end

CALLS_BEGIN = "<｜tool▁calls▁begin｜>"
CALLS_END = "<｜tool▁calls▁end｜>"
CALL_BEGIN = "<｜tool▁call▁begin｜>"
CALL_END = "<｜tool▁call▁end｜>"
SEPARATOR = "<｜tool▁sep｜>"
FENCE = "```json"
FENCE_END = "```"
# Models leave out the outer marker at times, and it says nothing that the inner one does not.
_BEGIN = Markers([CALLS_BEGIN, CALL_BEGIN])
_CALL_BEGIN = Markers([CALL_BEGIN])
_SEPARATOR = Markers([SEPARATOR])
_FENCE = Markers([FENCE])
_ENDS = (Markers([FENCE_END]), Markers([CALL_END]), Markers([CALLS_END]))


def scan_deepseek(tape: Tape, tool_names: Collection[str]) -> Scan[None]:
    """Tell the answer's calls of ``tool_names`` and say the rest."""
    is_told = False
    while marker := (yield from next_marker(tape, _BEGIN, is_after_call=is_told)):
        if marker == CALLS_BEGIN:
            yield from tape.take_run(SPACE)
            marker = yield from tape.take_one_of(_CALL_BEGIN)
        name = (yield from _read_name(tape)) if marker else ""
        if not name:
            tape.say()
            is_told = False
            continue
        is_told = yield from read_call_of(tape, name, tool_names)
        yield from take_end(tape, *_ENDS, is_told=is_told)


def _read_name(tape: Tape) -> Scan[str]:
    """Read up to where the arguments begin; empty where this is not how a call begins."""
    name = yield from tape.take_run(NAME)
    if not (yield from tape.take_one_of(_SEPARATOR)):
        return ""
    if name == "function" and (yield from tape.peek()) != "{":
        name = yield from tape.take_run(NAME)
        yield from tape.take_run(SPACE)
        yield from tape.take_one_of(_FENCE)
    return name
