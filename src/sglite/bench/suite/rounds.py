"""Rounds of timed runs: every engine in turn, the machine's rates before and after each round.

Workloads are grouped into stages, each with its own engines: cold starts, those on the model, those
on the tiny model. Within a stage an engine stays loaded and idle while others are timed. Each
round starts with another engine, so that no one always runs on the machine that another has heated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sglite.bench.suite.engine import BenchEngine
from sglite.bench.suite.jobs import Job
from sglite.bench.suite.machine import Rates, busy_seconds
from sglite.bench.suite.running import Run, check_lengths, run_workload
from sglite.bench.suite.workloads import WARM_UP_SALT, num_tokens
from sglite.errors import RemoteError

MODEL_STAGE = "model"


@dataclass(frozen=True, slots=True)
class Contender:
    """An engine by name, how one is made for a job, and the names of the jobs that it runs."""

    name: str
    make: Callable[[Job], BenchEngine]
    jobs: frozenset[str]


@dataclass(slots=True)
class Record:
    """The runs of one contender in one job; ``failure`` says why there are no more of them.

    ``contention`` has, for each run, the CPU seconds of the whole machine meanwhile.
    """

    runs: list[Run] = field(default_factory=list)
    contention: list[dict[str, float]] = field(default_factory=list)
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """The machine's rates at one moment of a stage."""

    stage: str
    moment: str
    rates: Rates


@dataclass(slots=True)
class Outcome:
    """What was measured so far: records by job and contender, versions and seconds of loading."""

    jobs: list[Job]
    records: dict[str, dict[str, Record]] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    load_s: dict[str, float] = field(default_factory=dict)

    @property
    def failures(self) -> list[str]:
        """Each with the job and the contender in front."""
        return [
            f"{job} {name}: {record.failure}"
            for job, records in self.records.items()
            for name, record in records.items()
            if record.failure is not None
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often, how large; ``measure`` reads the machine's rates. Where engines alternate, there
    are ``settle_s`` before each run, in which threads of the one before stop spinning.
    """

    num_rounds: int
    measure: Callable[[], Rates]
    shrink: int = 1
    is_warmed_up: bool = True
    settle_s: float = 0.0


class Seat:
    """A contender within a stage: loads its engine when it is needed, again after a failure."""

    def __init__(self, contender: Contender, outcome: Outcome) -> None:
        self.contender = contender
        self._outcome = outcome
        self._engine: BenchEngine | None = None
        self._is_loaded = False
        self._refusal: str | None = None

    def run(self, job: Job, *, salt: int, shrink: int) -> Run:
        """One run. Raises RemoteError; one that could not be loaded is not tried again."""
        if self._refusal is not None:
            raise RemoteError(self._refusal)
        engine = self._engine = self._engine or self.contender.make(job)
        if job.is_cold:
            return self._run_cold(engine, job, salt=salt, shrink=shrink)
        if not self._is_loaded:
            self._load(engine, job)
        try:
            return run_workload(engine, job.workload, salt=salt, shrink=shrink)
        except RemoteError:
            self.close()
            raise

    def close(self) -> None:
        """End the engine; safe to repeat."""
        self._is_loaded = False
        if self._engine is not None:
            self._engine.close()

    def _load(self, engine: BenchEngine, job: Job) -> float:
        name = self.contender.name
        try:
            load_s = engine.load()
        except RemoteError as error:
            self._refusal = f"not loaded: {error}"
            raise RemoteError(self._refusal) from error
        self._is_loaded = True
        self._outcome.versions[name] = engine.version
        self._outcome.load_s.setdefault(f"{name} ({stage_of(job)})", load_s)
        return load_s

    def _run_cold(self, engine: BenchEngine, job: Job, *, salt: int, shrink: int) -> Run:
        """A process from its start to the first token, by our clock."""
        turns = job.workload.write(salt, shrink)
        ((ask,),) = turns
        num_in, num_out = num_tokens(turns)
        start_s = time.perf_counter()
        try:
            load_s = self._load(engine, job)
            answers = engine.stream(ask)
            seconds = time.perf_counter() - start_s
            check_lengths([ask], answers)
        finally:
            self.close()
        kind = job.workload.kind
        return Run(kind=kind, num_in=num_in, num_out=num_out, seconds=seconds, load_s=load_s)


def stage_of(job: Job) -> str:
    """Jobs of one stage share their engines."""
    if job.is_cold:
        return "cold starts"
    return "tiny model" if job.is_tiny else MODEL_STAGE


def run_rounds(
    contenders: Sequence[Contender],
    jobs: Sequence[Job],
    pace: Pace,
    *,
    on_run: Callable[[Job, str, Record], None] = lambda job, name, record: None,
    on_round: Callable[[Outcome], object] = lambda outcome: None,
) -> Outcome:
    """Run everything. A contender that fails in a job is left out of its further rounds.

    ``on_run`` is told of every run, ``on_round`` at the end of each round.
    """
    outcome = Outcome([*jobs])
    for job in jobs:
        names = [each.name for each in contenders if job.name in each.jobs]
        outcome.records[job.name] = {name: Record() for name in names}
    for stage in dict.fromkeys(map(stage_of, jobs)):
        own = [job for job in jobs if stage_of(job) == stage]
        seats = [Seat(each, outcome) for each in contenders]
        try:
            _run_stage(own, seats, pace, outcome, on_run=on_run, on_round=on_round)
        finally:
            for seat in seats:
                seat.close()
    return outcome


def _run_stage(
    jobs: Sequence[Job],
    seats: Sequence[Seat],
    pace: Pace,
    outcome: Outcome,
    *,
    on_run: Callable[[Job, str, Record], None],
    on_round: Callable[[Outcome], object],
) -> None:
    stage = stage_of(jobs[0])
    for number in range(-int(pace.is_warmed_up), pace.num_rounds):
        is_counted = number >= 0
        if is_counted:
            outcome.readings.append(Reading(stage, f"before {number + 1}", pace.measure()))
        for job, seat in _order(jobs, seats, outcome, number):
            time.sleep(pace.settle_s if len(seats) > 1 else 0.0)
            record = outcome.records[job.name][seat.contender.name]
            _run_one(job, seat, record, pace, salt=number if is_counted else WARM_UP_SALT)
            if is_counted or record.failure is not None:
                on_run(job, seat.contender.name, record)
        if is_counted:
            outcome.readings.append(Reading(stage, f"after {number + 1}", pace.measure()))
            on_round(outcome)


def _order(
    jobs: Sequence[Job], seats: Sequence[Seat], outcome: Outcome, number: int
) -> Iterator[tuple[Job, Seat]]:
    """Job by job, the seats in turn; without those that have failed in the job by then."""
    first = number % len(seats)
    for job in jobs:
        records = outcome.records[job.name]
        for seat in [*seats[first:], *seats[:first]]:
            record = records.get(seat.contender.name)
            if record is not None and record.failure is None:
                yield job, seat


def _run_one(job: Job, seat: Seat, record: Record, pace: Pace, *, salt: int) -> None:
    before = busy_seconds()
    try:
        run = seat.run(job, salt=salt, shrink=pace.shrink)
    except RemoteError as error:
        record.failure = str(error)
        return
    if salt != WARM_UP_SALT:
        after: dict[str, Any] = dict(busy_seconds())
        record.runs.append(run)
        record.contention.append({name: after[name] - value for name, value in before.items()})
