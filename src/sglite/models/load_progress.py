"""The progress bar of a model load, on a terminal and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def load_progress(
    total: int, *, show: bool, what: str = "loading weights"
) -> Iterator[Callable[[int], None]]:
    """Yields ``advance(amount)``; the amounts add up to ``total``. ``what`` stands beside the bar.

    Drawn on stderr where ``show`` and stderr is a terminal, so that output on stdout stays clean;
    rich is imported only then.
    """
    if not (show and sys.stderr.isatty()):
        yield lambda amount: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn(what),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("load", total=total)
        yield lambda amount: progress.advance(task, amount)
