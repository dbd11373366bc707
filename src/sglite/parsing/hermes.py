r"""Calls as Hermes 2 Pro and Qwen 2.5 and 3 write them.

<tool_call>
{"name": "get_weather", "arguments": {"city": "Paris"}}
</tool_call>
"""

from __future__ import annotations

from collections.abc import Collection

from sglite.parsing.json_calls import JsonCall
from sglite.parsing.tape import SPACE, Markers, Scan, Tape
from sglite.parsing.words import next_marker, take_end

BEGIN = "<tool_call>"
END = "</tool_call>"
_BEGIN = Markers([BEGIN])
_END = Markers([END])


def scan_hermes(tape: Tape, tool_names: Collection[str]) -> Scan[None]:
    """Tell the answer's calls of ``tool_names`` and say the rest."""
    is_told = False
    while (yield from next_marker(tape, _BEGIN, is_after_call=is_told)):
        yield from tape.take_run(SPACE)
        if (yield from tape.peek()) != "{":
            tape.say()
            is_told = False
            continue
        is_told = yield from JsonCall(tape, tool_names).read()
        yield from take_end(tape, _END, is_told=is_told)
