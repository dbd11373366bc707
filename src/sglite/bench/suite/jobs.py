"""Which workload on which model: W5 is W1 and W2 on a tiny one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sglite.bench.suite.workloads import WORKLOADS, Kind, Workload
from sglite.errors import ConfigError

ON_THE_TINY_MODEL = ("W1", "W2")


@dataclass(frozen=True, slots=True)
class Job:
    """A workload on one of the two models."""

    name: str
    workload: Workload
    is_tiny: bool = False

    @property
    def title(self) -> str:
        """The name and what it is."""
        return f"{self.name} {self.workload.title}" + (", tiny model" if self.is_tiny else "")

    @property
    def is_cold(self) -> bool:
        """True where every run is a process of its own."""
        return self.workload.kind is Kind.COLD


def all_jobs() -> dict[str, Job]:
    """Every job by its name; those of W5 are ``W5/W1`` and ``W5/W2``."""
    jobs = [Job(name, workload) for name, workload in WORKLOADS.items()]
    jobs += [Job(f"W5/{name}", WORKLOADS[name], is_tiny=True) for name in ON_THE_TINY_MODEL]
    return {job.name: job for job in jobs}


def read_jobs(text: str, allowed: Sequence[str]) -> list[Job]:
    """``"W1,W5"`` as jobs, of the ``allowed`` names; ``W5`` is what of W5 is allowed.

    Raises ConfigError.
    """
    known = all_jobs()
    names: list[str] = []
    for word in filter(None, text.upper().replace(" ", "").split(",")):
        found = [name for name in allowed if name == word or name.startswith(f"{word}/")]
        if not found:
            choices = ", ".join(allowed)
            raise ConfigError(f"--workloads: {word!r:.40} is not one of {choices}")
        names += [name for name in found if name not in names]
    if not names:
        raise ConfigError(f"--workloads: name at least one of {', '.join(allowed)}")
    return [known[name] for name in names]
