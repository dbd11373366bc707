"""Words between calls, and answers of words alone."""

from __future__ import annotations

import re

from sglite.parsing.tape import SPACE, Markers, Scan, Tape

_ANYTHING = re.compile(r"[\s\S]*")


def say_everything(tape: Tape) -> Scan[None]:
    """Say all that is left."""
    tape.say()
    yield from tape.take_run(_ANYTHING)


def next_marker(tape: Tape, markers: Markers, *, is_after_call: bool = False) -> Scan[str]:
    """Say the words up to one of ``markers``, take that and return it, held; empty at the end.

    White space alone, at the answer's beginning or after a call, is no words if a marker follows,
    nor is what a call left held if the answer ends after it.
    """
    tape.hold()
    yield from tape.take_run(SPACE)
    if marker := (yield from tape.take_one_of(markers)):
        return marker
    if is_after_call and not (yield from tape.peek()):
        tape.drop()
        return ""
    tape.say()
    marker = yield from tape.find_one_of(markers)
    tape.hold()
    tape.take(len(marker))
    return marker


def take_end(tape: Tape, *ends: Markers, is_told: bool) -> Scan[None]:
    """Take what ends a call that was just read: each of ``ends`` that comes next, in this order.

    White space before one goes with it; other white space stays held. Of a call that was not told
    all is words.
    """
    if is_told:
        tape.hold()
    for end in ends:
        yield from tape.take_run(SPACE)
        if (yield from tape.take_one_of(end)) and is_told:
            tape.drop()
            tape.hold()
