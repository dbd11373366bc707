"""Progress bars for people: on a terminal, on stderr, and only there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def generation_progress(
    num_requests: int, *, show: bool | None
) -> Iterator[Callable[[int, bool], None]]:
    """Yields ``advance(num_new_tokens, is_finished)``. ``show`` None: for many, on a terminal."""
    if show is None:
        show = num_requests > 1 and sys.stderr.isatty()
    if not show:
        yield lambda num_tokens, is_finished: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    columns = (
        "answers",
        BarColumn(),
        MofNCompleteColumn(),
        Elapsed(),
        TextColumn("{task.fields[rate]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("answers", total=num_requests, rate="")
        num_tokens = 0

        def advance(num_new: int, is_finished: bool) -> None:
            nonlocal num_tokens
            num_tokens += num_new
            elapsed = progress.tasks[0].elapsed or 1e-9
            rate = f"{num_tokens / elapsed:,.0f} tok/s"
            progress.update(task, advance=int(is_finished), rate=rate)

        yield advance
