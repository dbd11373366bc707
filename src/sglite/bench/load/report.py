"""The figures of several servers side by side: a table, and JSON."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, TextIO

from sglite.bench.load.figures import LATENCIES, Summary
from sglite.bench.parallel import parallel_text

Parallel = Mapping[str, Mapping[str, Any]]
"""By the server's name what ``parallel_settings`` found; servers of one rank may be left out."""

TITLES = {
    "ttft": "time to first token",
    "tpot": "time per output token",
    "itl": "inter-token latency",
    "e2e": "end to end",
}
COLUMNS = ("mean", "median", "p90", "p99", "max")


def table_rows(summary: Summary) -> dict[str, str]:
    """Every line of one server's column, by its title."""
    rows = {
        "requests": f"{summary.num_requests:,}",
        "failed": f"{summary.num_failed:,}",
        "duration": f"{summary.duration_s:.2f} s",
        "mean concurrency": f"{summary.concurrency:.2f}",
        "prompt tokens": f"{summary.num_prompt_tokens:,}",
        "of these cached": f"{summary.num_cached_tokens:,}",
        "output tokens": f"{summary.num_output_tokens:,}",
        "requests/s": f"{summary.requests_per_s:.2f}",
        "output tokens/s": f"{summary.output_tokens_per_s:,.1f}",
        "total tokens/s": f"{summary.total_tokens_per_s:,.1f}",
    }
    if summary.goodput_per_s is not None and summary.good_share is not None:
        rows["goodput, requests/s"] = f"{summary.goodput_per_s:.2f} ({summary.good_share:.0%})"
    for name in LATENCIES:
        spread = summary.latencies_ms[name]
        for column in COLUMNS:
            title = f"{TITLES[name]}, {column}"
            rows[title] = "-" if spread is None else f"{getattr(spread, column):,.2f} ms"
    return rows


def print_table(
    summaries: Mapping[str, Summary],
    stream: TextIO | None = None,
    *,
    parallel: Parallel = MappingProxyType({}),
) -> None:
    """One column per server; below it what went wrong."""
    from rich.console import Console
    from rich.table import Table

    columns = {name: table_rows(summary) for name, summary in summaries.items()}
    if any(parallel.values()):
        for name, rows in columns.items():
            rows["ranks and engines"] = parallel_text(parallel.get(name, {})) or "1"
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    for title in next(iter(columns.values())):
        table.add_row(title, *(rows[title] for rows in columns.values()))
    console = Console(file=stream or sys.stdout, highlight=False, markup=False)
    console.print(table)
    for name, summary in summaries.items():
        for error, count in summary.errors.items():
            console.print(f"{name}: {count} x {error}")


def to_json(
    summaries: Mapping[str, Summary],
    settings: Mapping[str, Any],
    *,
    parallel: Parallel = MappingProxyType({}),
) -> dict[str, Any]:
    """The document of ``--json``: what was asked for, and each server's ranks and figures."""
    return {
        "settings": dict(settings),
        "servers": {
            name: {**parallel.get(name, {}), **asdict(summary)}
            for name, summary in summaries.items()
        },
    }
