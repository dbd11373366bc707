"""The results as a page to read: what failed, then a table of every part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sglite.bench.gpu_suite.results import DONE, Figure, PartResult

BAR_CELLS = 20


def to_markdown(about: dict[str, Any], results: Sequence[PartResult]) -> str:
    """The page."""
    lines = ["# GPU suite", "", _about(about, results), ""]
    lines += _problems(results)
    for result in results:
        lines += _part(result)
    return "\n".join(lines) + "\n"


def _about(about: dict[str, Any], results: Sequence[PartResult]) -> str:
    return "; ".join(_words(about) + _words(machine_of(results)))


def machine_of(results: Sequence[PartResult]) -> dict[str, Any]:
    """What the part ``machine`` found about the machine; empty where it did not run."""
    found: dict[str, Any] = {}
    for result in results:
        found |= result.details.get("machine", {})
    return found


def _words(facts: dict[str, Any]) -> list[str]:
    return [f"{name} {value}" for name, value in facts.items() if value is not None]


def _problems(results: Sequence[PartResult]) -> list[str]:
    """Parts that did not come to their end, and checks that did not hold."""
    lines = [f"- **{each.name}**: {each.status}" for each in results if each.status != DONE]
    for each in results:
        lines += [f"- **{each.name}**: {bad.name}: {bad.detail}" for bad in each.failed_checks]
    return ["## What is missing or wrong", "", *lines, ""] if lines else []


def _part(result: PartResult) -> list[str]:
    passed = len(result.checks) - len(result.failed_checks)
    checks = f", {passed} of {len(result.checks)} checks hold" if result.checks else ""
    lines = [f"## {result.name}", "", f"{result.status}, {result.seconds:.1f} s{checks}", ""]
    if result.error:
        lines += ["```", result.error, "```", ""]
    if result.figures:
        lines += [*figure_table(result.figures), ""]
    return lines


def figure_table(figures: Sequence[Figure]) -> list[str]:
    """Lines of a table; a bar shows the share of the limit."""
    lines = ["| | | of the limit | |", "| --- | ---: | ---: | --- |"]
    for figure in figures:
        share = "" if figure.share is None else f"{figure.share:.0%}"
        lines.append(f"| {figure.name} | {amount(figure)} | {share} | {bar(figure.share)} |")
    return lines


def amount(figure: Figure) -> str:
    """Four digits and the unit."""
    value = figure.value
    digits = max(0, 3 - len(str(int(abs(value))))) if abs(value) < 1000 else 0
    return f"{value:,.{digits}f} {figure.unit}"


def bar(share: float | None) -> str:
    """Cells of a bar, all of them for the whole."""
    if share is None:
        return ""
    filled = min(BAR_CELLS, round(BAR_CELLS * share))
    return "█" * filled + "░" * (BAR_CELLS - filled)
