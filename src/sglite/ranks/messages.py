"""What the leader of an engine tells its ranks, and what they answer: msgpack of closed structs.

The nouns of ``sglite.scheduler.plan`` travel as they are; nothing here can name code.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from sglite.scheduler.plan import StepPlan, StepResult

Phase = Literal["started", "planned", "loaded", "measured", "ready"]
"""How far a rank has come: it runs, memory is planned, weights are there, a device has tried the
largest step, it waits for plans."""


class Proceed(msgspec.Struct, tag="proceed", frozen=True):
    """All ranks have come to ``phase``; the smallest number of pages that any of them has."""

    phase: Phase
    num_pages: int


class Launch(msgspec.Struct, tag="launch", frozen=True):
    """Run a step's forward pass."""

    plan: StepPlan


class StepMasks(msgspec.Struct, frozen=True):
    """Masks of some entries of a plan's ``sample_runs``: ``words`` are int32, ``[M, W]``.

    Without words they only say which entries have masks.
    """

    entries: list[int]
    words: bytes = b""


class Sample(msgspec.Struct, tag="sample", frozen=True):
    """Draw what the launched step ``step_id`` samples, or get what another rank draws.

    ``masks`` have words where a rank other than the leader's draws.
    """

    step_id: int
    masks: StepMasks | None = None


class JointStep(msgspec.Struct, tag="joint", frozen=True):
    """A step of DP-attention, forward pass and draws: a plan for every lane, ``masks`` by lane."""

    step_id: int
    plans: list[StepPlan]
    masks: dict[int, StepMasks] = {}


class Close(msgspec.Struct, tag="close", frozen=True):
    """Nothing more comes: end in good order."""


ToRank = Proceed | Launch | Sample | JointStep | Close


class RankAt(msgspec.Struct, tag="at", frozen=True):
    """A rank has come to ``phase`` and waits for the others. ``num_pages`` fit there, per group."""

    phase: Phase
    num_pages: int
    weights_bytes: int = 0


class StepDone(msgspec.Struct, tag="done", frozen=True):
    """What a rank that draws elsewhere than the leader's has drawn."""

    step_id: int
    result: StepResult


class RankFault(msgspec.Struct, tag="fault", frozen=True):
    """A rank ends because of a fault; with ``is_bad_config`` options or model are to blame."""

    message: str
    is_bad_config: bool = False


FromRank = RankAt | StepDone | RankFault
