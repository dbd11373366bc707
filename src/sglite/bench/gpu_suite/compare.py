"""Two results beside each other: how many times faster every figure became."""

from __future__ import annotations

from collections.abc import Sequence

from sglite.bench.gpu_suite.results import PartResult
from sglite.bench.gpu_suite.summary import amount


def ratio_table(before: Sequence[PartResult], after: Sequence[PartResult]) -> str:
    """A Markdown table of the figures that both have; above 1 is faster, whatever the unit."""
    old = {(part.name, each.name): each for part in before for each in part.figures}
    lines = ["| | before | after | times as fast |", "| --- | ---: | ---: | ---: |"]
    for part in after:
        for figure in part.figures:
            earlier = old.get((part.name, figure.name))
            ratio = None if earlier is None else figure.ratio(earlier)
            if earlier is None or ratio is None:
                continue
            name = f"{part.name}: {figure.name}"
            lines.append(f"| {name} | {amount(earlier)} | {amount(figure)} | {ratio:.3f} |")
    return "\n".join(lines)
