"""Where a run of rounds has come to, on standard error: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sglite.bench.suite.jobs import Job
from sglite.bench.suite.report import run_line
from sglite.bench.suite.rounds import Record

OnRun = Callable[[Job, str, Record], None]


@contextmanager
def rounds_progress(num_runs: int) -> Iterator[OnRun]:
    """Yields what is to be told of every run."""
    if not sys.stderr.isatty():
        yield lambda job, name, record: print(run_line(job, name, record), file=sys.stderr)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), Elapsed())
    console = Console(stderr=True, highlight=False, markup=False)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("runs", total=num_runs)

        def tell(job: Job, name: str, record: Record) -> None:
            progress.advance(task)
            progress.console.print(run_line(job, name, record))

        yield tell
