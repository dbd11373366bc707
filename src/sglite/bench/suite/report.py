"""The figures for people: a table on the terminal, and the same in Markdown."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from sglite.bench.parallel import parallel_settings, parallel_text
from sglite.bench.suite.figures import OURS, Cell, Row, rates_of, summarise_record
from sglite.bench.suite.jobs import Job
from sglite.bench.suite.rounds import Outcome, Record
from sglite.bench.suite.workloads import Kind

Lines = list[list[str]]


def table_lines(rows: Sequence[Row]) -> Lines:
    """Title line and a line per job: what it is, sglite, its share of the floor, then the peers.

    Behind a peer's figure stands how many times faster sglite is.
    """
    peers = list(dict.fromkeys(name for row in rows for name in row.cells if name != OURS))
    lines = [["workload", OURS, "of the floor", *peers]]
    for row in rows:
        share = "-" if row.share_of_floor is None else f"{row.share_of_floor:.0%}"
        line = [row.job.title, _cell_text(row, OURS), share]
        lines.append(line + [_cell_text(row, name) for name in peers])
    return lines


def _cell_text(row: Row, name: str) -> str:
    cell = row.cells.get(name)
    if cell is None:
        return "-"
    text = figure_text(row.job.workload.kind, cell)
    ratio = row.ratios.get(name)
    text += "" if ratio is None else f" ({ratio:.2f} x)"
    return text if cell.failure is None else f"{text}, failed".removeprefix("-, ")


def figure_text(kind: Kind, cell: Cell) -> str:
    """``"29.1 tok/s, first after 280 ms"``; ``-`` where nothing was measured."""
    if cell.headline_s is None:
        return "-"
    seconds = _short(cell.headline_s)
    if cell.tokens_per_s is None:
        return f"{seconds} s"
    rate = f"{_short(cell.tokens_per_s)} tok/s"
    if kind is Kind.BATCH:
        return f"{seconds} s, {rate}"
    if kind is Kind.DECODE and cell.first_s is not None:
        return f"{rate}, first after {_short(1000 * cell.first_s)} ms"
    return rate


def run_line(job: Job, name: str, record: Record) -> str:
    """The last run of a record, or why it failed, in a line."""
    if record.failure is not None:
        return f"{job.name} {name}: failed: {record.failure}"
    last = summarise_record(Record(runs=record.runs[-1:]))
    return f"{job.name} {name}: {figure_text(job.workload.kind, last)}"


def _short(value: float) -> str:
    """Three digits, or all before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def rate_lines(outcome: Outcome) -> Lines:
    """What the machine read and computed before and after each round."""
    with_int8 = any(reading.rates.int8_ops_per_s is not None for reading in outcome.readings)
    lines = [["round", "read GB/s", "GFLOP/s", *(["int8 GOP/s"] if with_int8 else [])]]
    for reading in outcome.readings:
        rates = reading.rates
        line = [f"{reading.stage}, {reading.moment}", f"{rates.read_bytes_per_s / 1e9:.1f}"]
        line.append(f"{rates.flop_per_s / 1e9:.0f}")
        if with_int8:
            line.append(f"{(rates.int8_ops_per_s or 0) / 1e9:.0f}")
        lines.append(line)
    return lines


def rates_text(outcome: Outcome) -> str:
    """The medians of the machine's rates in a line."""
    rates = rates_of(outcome)
    if rates is None:
        return "The machine's rates were not measured."
    return (
        f"The machine read {rates.read_bytes_per_s / 1e9:.1f} GB/s and computed "
        f"{rates.flop_per_s / 1e9:.0f} GFLOP/s (medians of {len(outcome.readings)} readings)."
    )


def print_report(
    outcome: Outcome, rows: Sequence[Row], stream: TextIO | None = None, *, parallel: str = ""
) -> None:
    """The table, the machine's rates, and what failed; ``parallel`` names sglite's ranks."""
    from rich.console import Console
    from rich.table import Table

    title, *lines = table_lines(rows)
    table = Table(box=None, pad_edge=False)
    for place, heading in enumerate(title):
        table.add_column(heading, justify="right" if place else "left")
    for line in lines:
        table.add_row(*line)
    console = Console(file=stream or sys.stdout, highlight=False, markup=False)
    console.print(table)
    ranks = [f"{OURS} ran with {parallel}."] if parallel else []
    for sentence in [*ranks, rates_text(outcome), *outcome.failures]:
        console.print(sentence)


def to_markdown(
    outcome: Outcome, rows: Sequence[Row], settings: Mapping[str, Any], chart: str | None = None
) -> str:
    """A page: the table, the picture, how it was measured, the machine's rates, versions."""
    machine = settings["machine"]
    ranks = parallel_text(parallel_settings(settings))
    parts = [
        "# Speed on a CPU",
        f"{machine['processor']}, {machine['threads']} threads; {settings['model']}, "
        f"{settings['dtype']}{f'; {OURS} with {ranks}' if ranks else ''}; medians over rounds: "
        f"{settings['num_rounds']}. Times and rates of "
        "answers; behind a peer's figure stands how many times faster sglite was in the same run.",
    ]
    if settings["shrink"] != 1:
        parts.append(f"**Lengths divided by {settings['shrink']}: not comparable with others.**")
    parts.append(_markdown_table(table_lines(rows)))
    if chart is not None:
        parts.append(f"![The same as bars]({chart})")
    parts += [f"- {failure}" for failure in outcome.failures]
    parts += ["## How it was measured", f"```\n{settings['command']}\n```", rates_text(outcome)]
    parts.append(_markdown_table(rate_lines(outcome)))
    versions = {**outcome.versions, "system": machine["system"], "torch": machine["torch"]}
    parts += [
        "## Versions",
        _markdown_table([["engine", "version"], *map(list, versions.items())]),
    ]
    return "\n\n".join(parts) + "\n"


def _markdown_table(lines: Lines) -> str:
    title, *rest = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    ruled = [title, ["---"] + ["---:"] * (len(title) - 1), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in ruled)
