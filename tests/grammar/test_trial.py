from __future__ import annotations

import random

import numpy as np
import pytest

from sglite.grammar import trial
from sglite.grammar.backend import GrammarTooComplexError
from sglite.grammar.trial import try_out
from tests.ipc.fake_grammars import FakeCompiled, FakeMatcher


def walked(text: bytes) -> list[tuple[int, int]]:
    """From where to where each walk went."""
    matchers: list[FakeMatcher] = []

    class Noting(FakeCompiled):
        def start(self) -> FakeMatcher:
            matchers.append(FakeMatcher(text))
            return matchers[-1]

    starts: list[int] = []
    original = trial._walk

    def walk(matcher: FakeMatcher, *rest: object) -> None:
        starts.append(matcher.place)
        original(matcher, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "_walk", walk)
        try_out(Noting(text, 0), list(text), num_words=8)  # type: ignore[arg-type]
    return list(zip(starts, [matcher.place for matcher in matchers], strict=True))


def test_walks_begin_all_along_the_way_and_go_on_from_there() -> None:
    steps = trial.NUM_STEPS
    starts = [number * 100 for number in range(trial.NUM_WALKS)]
    assert walked(b"x" * 100 * trial.NUM_WALKS) == [(start, start + steps) for start in starts]


def test_a_walk_stops_at_the_end() -> None:
    assert {end for _, end in walked(b"\x1f\x20\xff")} == {3}
    assert walked(b"") == [(0, 0)] * trial.NUM_WALKS


@pytest.mark.parametrize("text", [b"complex", b"slow"])
def test_too_much_work_in_the_middle_is_found(text: bytes) -> None:
    with pytest.raises(GrammarTooComplexError):
        try_out(FakeCompiled(text, 0), list(text), num_words=8)  # type: ignore[arg-type]


def test_each_token_that_a_mask_allows_is_drawn_and_no_other() -> None:
    words_W = np.zeros(3, np.int32)
    allowed = {0, 31, 70, 95}
    for token_id in allowed:
        words_W.view(np.uint32)[token_id >> 5] |= np.uint32(1 << (token_id & 31))
    chooser = random.Random(1)
    assert {trial._draw(words_W, chooser) for _ in range(200)} == allowed
    assert trial._draw(np.zeros(3, np.int32), chooser) is None
