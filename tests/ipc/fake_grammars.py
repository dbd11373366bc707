"""A grammar library whose grammars are orders: what it does with one, its text says.

python -m tests.ipc.fake_grammars                # the process that vets them

A grammar is the one text that it allows, ``[size]`` before it is what it claims to hold. Some
texts make trouble, but only in the process that vets: in this one they would end the tests.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from sglite.errors import RequestError
from sglite.grammar.backend import GrammarTooComplexError, Words
from sglite.grammar.vocabulary import Vocabulary
from sglite.ipc.grammar_messages import GrammarSetup
from sglite.ipc.grammar_process import VetOne, serve, vet
from sglite.ipc.grammar_service import GrammarService
from sglite.ipc.grammar_tools import GrammarTools
from sglite.request import GrammarSpec

MODULE = "tests.ipc.fake_grammars"
VOCABULARY = Vocabulary(pieces=tuple(bytes([byte]) for byte in range(256)), end_token_ids=())
SETUP = GrammarSetup("fake", "none", VOCABULARY, max_extra_bytes=256 << 20)


def spec(text: str) -> GrammarSpec:
    return GrammarSpec("regex", text)


def make_tools() -> GrammarTools:
    return GrammarTools(
        lambda: SETUP,
        make_backend=lambda _: FakeBackend(),
        make_ends=lambda _: FakeEnds(),  # type: ignore[arg-type, return-value]
    )


def make_service(**options: Any) -> GrammarService:
    return GrammarService(make_tools(), module=MODULE, **options)


class FakeMatcher:
    """Allows the bytes of ``text``, one after the other. ``trouble`` comes at the second mask."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.place = 0

    def fill_mask(self, words_W: Words) -> None:
        words_W[:] = 0
        if self.place and self.text.startswith(b"complex"):
            raise GrammarTooComplexError("too many rows")
        if self.place and self.text.startswith(b"slow"):
            end_s = time.thread_time() + 0.3
            while time.thread_time() < end_s:
                continue
        if not self.is_complete:
            byte = self.text[self.place]
            words_W[byte // 32] = 1 << byte % 32 if byte % 32 < 31 else -(1 << 31)

    def accept(self, token_ids: Sequence[int]) -> int:
        count = self.count_allowed(token_ids)
        self.place += count
        return count

    def count_allowed(self, token_ids: Sequence[int]) -> int:
        rest = self.text[self.place :]
        wrong = (i for i, token_id in enumerate(token_ids) if rest[i : i + 1] != bytes([token_id]))
        return next(wrong, len(token_ids))

    def roll_back(self, num_tokens: int) -> None:
        self.place -= num_tokens

    def forced_tokens(self) -> list[int]:
        return list(self.text[self.place :])

    def fork(self) -> FakeMatcher:
        copy = FakeMatcher(self.text)
        copy.place = self.place
        return copy

    @property
    def is_accepting(self) -> bool:
        return self.place == len(self.text)

    @property
    def is_complete(self) -> bool:
        return self.is_accepting


class FakeCompiled:
    def __init__(self, text: bytes, num_bytes: int) -> None:
        self.text = text
        self.num_bytes = num_bytes
        self.ignored_keywords = ("format",) if text.startswith(b"ignore") else ()

    def start(self) -> FakeMatcher:
        return FakeMatcher(self.text)


class FakeBackend:
    name = "fake"

    def __init__(self, troubles: dict[str, Callable[[], Any]] | None = None) -> None:
        self.troubles = troubles or {}
        self.compiled: list[str] = []

    def compile(self, spec: GrammarSpec) -> FakeCompiled:
        size, _, text = spec.text.rpartition("]")
        trouble = self.troubles.get(text.split()[0])
        self.compiled.append(text)
        if trouble is not None:
            trouble()
        if text.startswith("bad"):
            raise RequestError("regex is bad", param="regex")
        return FakeCompiled(text.encode(), int(size[1:] or 1000) if size else 1000)


class FakeEnds:
    pieces = VOCABULARY.pieces

    def fewest_tokens(self, text: bytes) -> None:
        """No token has any text, so that each end is found by search."""

    def find(self, matcher: FakeMatcher, **_: Any) -> list[int] | None:
        return None if matcher.text.startswith(b"endless") else matcher.forced_tokens()


def _eat() -> None:
    kept = []
    while True:
        kept.append(bytearray(16 << 20))


def _fail() -> None:
    raise RuntimeError("a bug")


TROUBLES: dict[str, Callable[[], Any]] = {
    "hang": lambda: time.sleep(60.0),
    "nap": lambda: time.sleep(0.4),
    "crash": os.abort,
    "eat": _eat,
    "fault": _fail,
    "kill": lambda: os.kill(os.getpid(), 9),
}


def make_vetter(setup: GrammarSetup) -> VetOne:
    backend, ends, num_words = FakeBackend(TROUBLES), FakeEnds(), setup.vocabulary.num_words
    return lambda spec: vet(spec, backend, ends, num_words=num_words)  # type: ignore[arg-type]


if __name__ == "__main__":
    serve(make_vetter)
