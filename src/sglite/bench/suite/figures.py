"""What the runs say: medians, ratios of medians, shares of the floor."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sglite.bench.suite.jobs import Job
from sglite.bench.suite.machine import Rates, median_rates
from sglite.bench.suite.rounds import MODEL_STAGE, Outcome, Record
from sglite.bench.suite.running import Run

OURS = "sglite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One contender in one job: medians over its runs; None where there is none."""

    headline_s: float | None
    tokens_per_s: float | None
    first_s: float | None
    load_s: float | None
    num_runs: int
    failure: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One job. ``ratios``: how many times faster sglite is than each peer; ``share_of_floor``:
    the floor's time over sglite's.
    """

    job: Job
    cells: dict[str, Cell]
    floor_s: float | None
    share_of_floor: float | None
    ratios: dict[str, float]


def summarise(outcome: Outcome, floors: Mapping[str, float | None]) -> list[Row]:
    """A row for each job; ``floors`` by the job's name, in the seconds of ``Run.headline_s``."""
    return [_row(job, outcome.records[job.name], floors.get(job.name)) for job in outcome.jobs]


def _row(job: Job, records: Mapping[str, Record], floor_s: float | None) -> Row:
    cells = {name: summarise_record(record) for name, record in records.items()}
    ours_s = cells[OURS].headline_s if OURS in cells else None
    ratios = {}
    share = None
    if ours_s:
        share = None if floor_s is None else floor_s / ours_s
        for name, cell in cells.items():
            if name != OURS and cell.headline_s is not None:
                ratios[name] = cell.headline_s / ours_s
    return Row(job=job, cells=cells, floor_s=floor_s, share_of_floor=share, ratios=ratios)


def summarise_record(record: Record) -> Cell:
    """The medians of a record's runs."""

    def median(name: str) -> float | None:
        values = [value for run in record.runs if (value := getattr(run, name)) is not None]
        return statistics.median(values) if values else None

    return Cell(
        headline_s=median("headline_s"),
        tokens_per_s=median("tokens_per_s"),
        first_s=median("first_s"),
        load_s=median("load_s"),
        num_runs=len(record.runs),
        failure=record.failure,
    )


def rates_of(outcome: Outcome) -> Rates | None:
    """The median of the readings around the large model's runs, else of all; None without any."""
    large = [each.rates for each in outcome.readings if each.stage == MODEL_STAGE]
    rates = large or [each.rates for each in outcome.readings]
    return median_rates(rates) if rates else None


def to_json(outcome: Outcome, rows: list[Row], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The document of ``--json``: settings, machine, every run and every reading."""
    rates = rates_of(outcome)
    return {
        **settings,
        "versions": outcome.versions,
        "load_s": outcome.load_s,
        "rates": None if rates is None else asdict(rates),
        "readings": [asdict(reading) for reading in outcome.readings],
        "results": {row.job.name: _row_to_json(row, outcome) for row in rows},
    }


def _row_to_json(row: Row, outcome: Outcome) -> dict[str, Any]:
    records = outcome.records[row.job.name]
    return {
        "title": row.job.title,
        "timed": row.job.workload.kind.value,
        "floor_s": row.floor_s,
        "share_of_floor": row.share_of_floor,
        "ratios": row.ratios,
        "engines": {
            name: {
                **asdict(cell),
                "runs": [_run_to_json(run) for run in records[name].runs],
                "contention": records[name].contention,
            }
            for name, cell in row.cells.items()
        },
    }


def _run_to_json(run: Run) -> dict[str, Any]:
    derived = {"headline_s": run.headline_s, "tokens_per_s": run.tokens_per_s}
    return {**asdict(run), **derived, "kind": run.kind.name.lower()}
