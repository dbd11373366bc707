"""Which part of this machine a process may use when several compute on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostShare:
    """Process ``index`` of ``count`` that compute on this machine: ranks, of all engines here.

    Each takes its part of the cores and of the free memory of a CPU, or the GPU with its number.
    ``num_settled`` others hold their memory already: what is free is for those that remain.
    """

    index: int = 0
    count: int = 1
    num_settled: int = 0

    def __post_init__(self) -> None:
        assert 0 <= self.index < self.count, f"process {self.index} of {self.count}"
        assert 0 <= self.num_settled < self.count, f"{self.num_settled} others of {self.count}"

    @property
    def num_memory_parts(self) -> int:
        """The parts that free memory is divided into."""
        return self.count - self.num_settled

    def part(self, index: int, count: int) -> HostShare:
        """Part ``index`` of this share, divided by ``count``: a rank's of what its engine has."""
        return HostShare(
            self.index * count + index, self.count * count, num_settled=self.num_settled * count
        )


WHOLE_MACHINE = HostShare()
