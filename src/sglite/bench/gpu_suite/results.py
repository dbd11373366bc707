"""What a part found, on the disk from its first line on: figures, checks, details.

A result is a file ``parts/NAME.json``. It is written anew with each addition, so that whatever
ends a part leaves what it had.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HIGHER_IS_BETTER = {
    "tok/s": True,
    "GB/s": True,
    "TFLOP/s": True,
    "%": True,
    "s": False,
    "ms": False,
    "us": False,
}
"""The units of figures, and whether more of one is faster."""

RUNNING, DONE = "running", "done"


@dataclass(frozen=True, slots=True)
class Figure:
    """A measurement; ``limit`` is what the machine would allow, in the same unit."""

    name: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def share(self) -> float | None:
        """How much of the limit was reached; None where none is known."""
        if not self.limit or not self.value:
            return None
        return self.value / self.limit if HIGHER_IS_BETTER[self.unit] else self.limit / self.value

    def ratio(self, before: Figure) -> float | None:
        """How many times faster than ``before`` this is."""
        if not before.value or not self.value:
            return None
        ratio = self.value / before.value
        return ratio if HIGHER_IS_BETTER[self.unit] else 1 / ratio


@dataclass(frozen=True, slots=True)
class Check:
    """Something that has to hold; ``detail`` says by how much it did or did not."""

    name: str
    passed: bool
    detail: str = ""


@dataclass(slots=True)
class PartResult:
    """All of a part. ``status``: running, done, or in words why it is neither."""

    name: str
    status: str = RUNNING
    seconds: float = 0.0
    figures: list[Figure] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def failed_checks(self) -> list[Check]:
        """Those that did not hold."""
        return [check for check in self.checks if not check.passed]

    def figure(self, name: str) -> Figure | None:
        """The figure of that name."""
        return next((figure for figure in self.figures if figure.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> PartResult:
        """From what :meth:`to_json` gave."""
        figures = [Figure(**each) for each in data["figures"]]
        checks = [Check(**each) for each in data["checks"]]
        return cls(**{**data, "figures": figures, "checks": checks})


class Recorder:
    """Adds to a part's result and keeps its file as new as the result."""

    def __init__(self, out: Path, name: str) -> None:
        self.result = PartResult(name)
        self._out = out
        self._start_s = time.perf_counter()
        self.write()

    def figure(self, name: str, value: float, unit: str, limit: float | None = None) -> Figure:
        """Note a measurement."""
        assert unit in HIGHER_IS_BETTER, unit
        figure = Figure(name, value, unit, limit)
        self.result.figures.append(figure)
        self.write()
        return figure

    def check(self, name: str, passed: bool, detail: str = "") -> None:
        """Note whether something holds."""
        self.result.checks.append(Check(name, bool(passed), detail))
        self.write()

    def detail(self, name: str, value: Any) -> None:
        """Note anything else that JSON can hold."""
        self.result.details[name] = value
        self.write()

    def end(self, status: str = DONE) -> None:
        """Nothing follows."""
        self.result.status = status
        self.write()

    def write(self) -> None:
        """The file as it is now."""
        self.result.seconds = time.perf_counter() - self._start_s
        write_part(self._out, self.result)


def part_path(out: Path, name: str) -> Path:
    """Where the result of a part lies."""
    return out / "parts" / f"{name}.json"


def write_part(out: Path, result: PartResult) -> None:
    """Replace the file of a part; nobody ever reads half of it."""
    path = part_path(out, result.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(result.to_json()), encoding="utf-8")
    unfinished.replace(path)


def try_read_part(out: Path, name: str) -> PartResult | None:
    """The result of a part, if it has begun."""
    try:
        return PartResult.from_json(json.loads(part_path(out, name).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def write_results(out: Path, about: dict[str, Any], results: Iterable[PartResult]) -> None:
    """All parts in one file, ``results.json``."""
    document = {"about": about, "parts": [result.to_json() for result in results]}
    (out / "results.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read_results(path: Path) -> tuple[dict[str, Any], list[PartResult]]:
    """What :func:`write_results` wrote: about the run, and its parts."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return document["about"], [PartResult.from_json(each) for each in document["parts"]]
