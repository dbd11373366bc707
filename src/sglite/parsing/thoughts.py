"""Thoughts before an answer: ``<think>`` ... ``</think>``.

White space beside the marks belongs to neither, as in SGLang. Thoughts that do not end are all that
the answer has.
"""

from __future__ import annotations

import re

from sglite.parsing.tape import SPACE, Markers, Scan, Tape

BEGIN = "<think>"
END = "</think>"
_BEGIN = Markers([BEGIN])
_END = Markers([END])
_WORD = re.compile(r"[^ \t\r\n<]*")


def scan_thoughts(tape: Tape, *, is_thinking: bool) -> Scan[None]:
    """Read the thoughts that the answer begins with, and leave the tape behind them.

    It begins inside of thoughts if ``is_thinking``, otherwise only with their mark. White space
    that it begins with instead stays held.
    """
    tape.hold()
    yield from tape.take_run(SPACE)
    has_mark = yield from tape.take_one_of(_BEGIN)
    if not has_mark and not is_thinking:
        return
    tape.drop()
    yield from tape.take_run(SPACE)
    while True:
        tape.hold()
        yield from tape.take_run(SPACE)
        is_end = yield from tape.take_one_of(_END)
        if is_end or not (yield from tape.peek()):
            break
        tape.think()
        tape.take()
        yield from tape.take_run(_WORD)
    tape.drop()
    yield from tape.take_run(SPACE)
