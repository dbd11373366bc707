"""The text of an answer as a scanner reads it: forward only, waiting where it has not come yet.

A scanner is a generator. It asks the tape for what comes next (``yield from tape.peek()``), and the
tape yields wherever the answer's text is too short to tell; the parser goes on with it when there
is more, or when the answer has ended. So a scanner reads like one of a whole text, and since it
never learns where the pieces were cut, the cuts cannot change what it finds. No character is looked
at more often than a marker is long: a scan takes time in proportion to the text.

What a scanner takes is said (words of the answer), thought, held (it may yet turn out to be words
or part of a call) or dropped (part of a call); the scanner says which.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from enum import Enum, auto
from typing import TypeVar

from sglite.parsing.findings import Findings

Result = TypeVar("Result")
Scan = Generator[None, None, Result]
"""A scanner, or a part of one: yields where it waits for text, returns what it found."""

SPACE = re.compile(r"[ \t\r\n]*")
NAME = re.compile(r"[\w.\-]*")
"""The characters of a function's name."""


class _Fate(Enum):
    """What becomes of the text that is taken."""

    SAID = auto()
    THOUGHT = auto()
    HELD = auto()
    DROPPED = auto()


class Markers:
    """Texts to look for, with what it takes to find them in one pass."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = frozenset(texts)
        """The texts, none of them empty."""
        self.beginnings = frozenset(text[:size] for text in self.texts for size in range(len(text)))
        """All that some of them begin with and continue."""
        self.longest = max(map(len, self.texts), default=0)
        """Characters of the longest."""
        self.pattern = re.compile("|".join(map(re.escape, sorted(self.texts))))
        """Finds the first of them."""


class Tape:
    """The answer's text from the scanner's place on. ``findings`` takes what is found in it."""

    def __init__(self) -> None:
        self.findings = Findings()
        self._text = ""
        self._place = 0
        self._has_ended = False
        self._fate = _Fate.SAID
        self._held: list[str] = []

    # ------------------------------------------------------------------------- the parser's side
    def append(self, text: str) -> None:
        """More text has come."""
        self._text = self._text[self._place :] + text
        self._place = 0

    def end(self) -> None:
        """No more text will come: nothing waits from here on."""
        self._has_ended = True

    # ------------------------------------------------------------------------ the scanner's side
    def peek(self) -> Scan[str]:
        """The next character; empty at the end of the answer."""
        while self._place == len(self._text) and not self._has_ended:
            yield
        return self._text[self._place : self._place + 1]

    def take(self, count: int = 1) -> str:
        """Take the next ``count`` characters, which must have come (one after a ``peek``)."""
        taken = self._text[self._place : self._place + count]
        self._place += len(taken)
        if self._fate is _Fate.SAID:
            self.findings.say(taken)
        elif self._fate is _Fate.THOUGHT:
            self.findings.think(taken)
        elif self._fate is _Fate.HELD:
            self._held.append(taken)
        return taken

    def take_some(self, pattern: re.Pattern[str]) -> Scan[str]:
        """Take what has come by now of a run of ``pattern``; empty where the run ends.

        The pattern matches any number of characters of a kind, so that a cut does not change it.
        """
        if not (yield from self.peek()):
            return ""
        match = pattern.match(self._text, self._place)
        return self.take(match.end() - self._place) if match else ""

    def take_run(self, pattern: re.Pattern[str]) -> Scan[str]:
        """Take the longest run of ``pattern``, waiting for its end."""
        parts = []
        while part := (yield from self.take_some(pattern)):
            parts.append(part)
        return "".join(parts)

    def take_one_of(self, markers: Markers) -> Scan[str]:
        """Take the longest of ``markers`` that comes next; empty, and nothing taken, if none does.

        Waits only while the text may still become one of them.
        """
        num_read, longest = 0, ""
        while True:
            while self._place + num_read < len(self._text):
                num_read += 1
                read = self._text[self._place : self._place + num_read]
                if read in markers.texts:
                    longest = read
                if read not in markers.beginnings:
                    return self.take(len(longest))
            if self._has_ended:
                return self.take(len(longest))
            yield

    def find_one_of(self, markers: Markers) -> Scan[str]:
        """Take the text up to one of ``markers`` and return that, not yet taken; empty at the end.

        Text is held back only while it may begin a marker.
        """
        while True:
            match = markers.pattern.search(self._text, self._place)
            self.take((match.start() if match else self._safe_end(markers)) - self._place)
            if match:
                return match.group()
            if self._has_ended:
                return ""
            yield

    def _safe_end(self, markers: Markers) -> int:
        """Where the text ends that cannot begin a marker, whatever comes after it."""
        end = len(self._text)
        if self._has_ended:
            return end
        for start in range(max(self._place, end - markers.longest + 1), end):
            if self._text[start:] in markers.beginnings:
                return start
        return end

    # ----------------------------------------------------------------------- fates of what is taken
    def say(self) -> None:
        """What is held, and what is taken from now on, are words of the answer."""
        self.findings.say("".join(self._held))
        self._held.clear()
        self._fate = _Fate.SAID

    def think(self) -> None:
        """What is held, and what is taken from now on, are thoughts."""
        self.findings.think("".join(self._held))
        self._held.clear()
        self._fate = _Fate.THOUGHT

    def hold(self) -> None:
        """Keep what is taken from now on until it is decided."""
        self._fate = _Fate.HELD

    def drop(self) -> None:
        """What is held, and what is taken from now on, are no words."""
        self._held.clear()
        self._fate = _Fate.DROPPED
