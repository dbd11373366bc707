"""The figures of a run in ``docs/benchmarks/gpu.md``, between its markers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sglite.bench.gpu_suite.results import PartResult
from sglite.bench.gpu_suite.summary import figure_table, machine_of

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
SHOWN = {
    "machine": "The machine",
    "offline": "256 requests, in and out 100 to 1,024 tokens",
    "single": "One stream",
    "decode_steps": "Decode steps",
    "prefill": "Prefill",
    "host": "The host's share of a step",
    "big": "The same 256 requests on 14 billion weights",
    "peers": "For scale",
}
"""The parts that have figures for a reader, and their headings."""


def write_page(page: Path, about: dict[str, Any], results: Sequence[PartResult]) -> None:
    """Replace what stands between the markers of ``page``. Raises ValueError without them."""
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{page}: the markers {BEGIN} and {END} must stand there once")
    before, rest = text.split(BEGIN)
    figures = "\n".join(figure_lines(about, results))
    page.write_text(f"{before}{BEGIN}\n{figures}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def figure_lines(about: dict[str, Any], results: Sequence[PartResult]) -> list[str]:
    """What stands between the markers."""
    facts = ", ".join(f"{name} {value}" for name, value in machine_of(results).items() if value)
    lines = [f"{about.get('date', '')}: {facts}."]
    for result in results:
        if result.name in SHOWN and result.figures:
            lines += ["", f"### {SHOWN[result.name]}", "", *figure_table(result.figures)]
    checks = [check for result in results for check in result.checks]
    passed = sum(check.passed for check in checks)
    return [*lines, "", f"{passed} of {len(checks)} checks of kernels and tokens hold."]
