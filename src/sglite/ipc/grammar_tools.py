"""What an engine's process compiles grammars with, made when the first grammar comes.

A vocabulary of 150,000 tokens takes a second to read and another to make a library of; a server
that nobody asks for a grammar spends neither.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from sglite.grammar.backend import GrammarBackend
from sglite.ipc.grammar_messages import GrammarSetup

if TYPE_CHECKING:
    from sglite.grammar.closing import EndFinder

MakeSetup = Callable[[], GrammarSetup]
MakeBackend = Callable[[GrammarSetup], GrammarBackend]


def backend_of(setup: GrammarSetup) -> GrammarBackend:
    """The library that ``setup`` names."""
    from sglite.grammar.backends import make_backend

    return make_backend(setup.backend, setup.vocabulary, whitespace=setup.whitespace)


def ends_of(setup: GrammarSetup) -> EndFinder:
    """What finds ends for the vocabulary of ``setup``."""
    from sglite.grammar.closing import EndFinder

    return EndFinder(setup.vocabulary.pieces)


class GrammarTools:
    """Each of the tools is made once, by the thread that wants it first; others wait for it."""

    def __init__(
        self,
        make_setup: MakeSetup,
        *,
        make_backend: MakeBackend = backend_of,
        make_ends: Callable[[GrammarSetup], EndFinder] = ends_of,
    ) -> None:
        self._make_setup = make_setup
        self._make_backend = make_backend
        self._make_ends = make_ends
        self._lock = threading.RLock()
        self._setup: GrammarSetup | None = None
        self._backend: GrammarBackend | None = None
        self._ends: EndFinder | None = None

    def setup(self) -> GrammarSetup:
        """What a helper process is told."""
        with self._lock:
            if self._setup is None:
                self._setup = self._make_setup()
            return self._setup

    def backend(self) -> GrammarBackend:
        """The library in this process."""
        with self._lock:
            if self._backend is None:
                self._backend = self._make_backend(self.setup())
            return self._backend

    def ends(self) -> EndFinder:
        """What finds ends for the answers of this process."""
        with self._lock:
            if self._ends is None:
                self._ends = self._make_ends(self.setup())
            return self._ends
