from __future__ import annotations

from typing import Any

import pytest
import torch

from sglite.errors import RankLostError
from sglite.ranks.channel import encode
from sglite.ranks.messages import (
    Close,
    JointStep,
    Launch,
    Proceed,
    Sample,
    StepDone,
    StepMasks,
    ToRank,
)
from sglite.ranks.rank_follower import RankFollower, to_step_masks
from sglite.sampling.masks import TokenMasks
from sglite.scheduler.plan import StepPlan, StepResult


class Notes:
    """An executor that notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def launch(self, plan: StepPlan) -> int:
        self.calls.append(("launch", plan.step_id, plan.num_groups))
        return plan.step_id

    def sample(self, handle: int, masks: TokenMasks | None = None) -> None:
        self.calls.append(("sample", handle))
        self.masks = masks

    def collect(self, handle: int) -> StepResult:
        self.calls.append(("collect", handle))
        return StepResult([handle])

    def close(self) -> None:
        self.calls.append("close")


class Said:
    def __init__(self, *messages: ToRank) -> None:
        self.payloads = [encode(message) for message in messages]

    def receive(self) -> bytes:
        if not self.payloads:
            raise EOFError
        return self.payloads.pop(0)

    def close(self) -> None:
        raise AssertionError


def test_a_rank_does_what_it_is_told_in_that_order_until_the_end() -> None:
    notes, told = Notes(), []
    said = Said(Launch(StepPlan(1, 1)), Launch(StepPlan(2, 1)), Sample(1), Sample(2), Close())
    RankFollower(notes, said, tell=told.append).run()
    assert notes.calls == [
        ("launch", 1, 1), ("launch", 2, 1),
        ("sample", 1), ("collect", 1), ("sample", 2), ("collect", 2), "close",
    ]  # fmt: skip
    assert told == [StepDone(1, StepResult([1])), StepDone(2, StepResult([2]))]


@pytest.mark.parametrize(("num_open", "collected"), [(0, [1, 2, 3]), (1, [1, 2]), (3, [])])
def test_so_many_sampled_steps_stay_open(num_open: int, collected: list[int]) -> None:
    notes = Notes()
    messages = [each for i in (1, 2, 3) for each in (Launch(StepPlan(i, 1)), Sample(i))]
    RankFollower(notes, Said(*messages, Close()), num_open=num_open).run()
    assert [call[1] for call in notes.calls if call[0] == "collect"] == collected
    assert notes.calls[-1] == "close"


def test_a_rank_that_does_not_draw_hears_which_entries_are_masked() -> None:
    notes = Notes()
    masks = StepMasks([1, 3, 4])
    RankFollower(notes, Said(Launch(StepPlan(1, 1)), Sample(1, masks), Close())).run()
    assert notes.masks is not None
    assert notes.masks.entries == [1, 3, 4]
    assert notes.masks.words_MW.shape == (3, 0)


def test_masks_arrive_as_they_were() -> None:
    notes = Notes()
    words = torch.tensor([[1, -5], [7, 2]], dtype=torch.int32)
    masks = to_step_masks(TokenMasks([1, 3], words))
    RankFollower(notes, Said(Launch(StepPlan(1, 1)), Sample(1, masks), Close())).run()
    assert notes.masks is not None
    assert notes.masks.entries == [1, 3]
    assert torch.equal(notes.masks.words_MW, words)


def test_the_leaders_end_is_no_close() -> None:
    with pytest.raises(EOFError):
        RankFollower(Notes(), Said(Launch(StepPlan(1, 1)))).run()


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Sample(4), "step 4"),
        (Proceed("ready", 1), "goes back"),
        (JointStep(1, [StepPlan(1, 1)]), "joint step"),
    ],
)
def test_what_makes_no_sense_ends_the_rank(message: ToRank, words: str) -> None:
    with pytest.raises(RankLostError, match=words):
        RankFollower(Notes(), Said(message)).run()
