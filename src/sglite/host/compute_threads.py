"""How many threads compute on a CPU, and on which cores.

Two threads on one core wait for each other at every operation, so there are never more than cores;
a thread that the system moves loses its caches, so where there are cores to spare each has its own.
The thread that drives the engine stays free: it may be the user's, and what it starts would inherit
its core.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from sglite.errors import ConfigError
from sglite.host.cores import Cores, read_cores, usable_cores, whole_cores
from sglite.host.share import HostShare
from sglite.kernels import cpu

logger = logging.getLogger(__name__)

ALL_OF_THE_HOST = HostShare()
MIN_PINNED = 5
"""Threads; fewer share their cores with the processes beside the engine and must give way."""


@dataclass(frozen=True, slots=True)
class ComputeThreads:
    """``count`` threads; the second and later ones stay on their place in ``pinned``, if any."""

    count: int
    pinned: tuple[int, ...] = ()


def settle_threads(option: str, host_share: HostShare = ALL_OF_THE_HOST) -> ComputeThreads:
    """Set torch's threads, which the compiled kernels share, for a value of ``cpu_cores``.

    Those of all processes that compute here, of which ``host_share`` says which we are.
    ConfigError for a list that is none, or with a core that this process may not use.
    """
    usable, default = usable_cores(), torch.get_num_threads()
    whole = choose_threads(option, read_cores(), usable, default, whole_cores)
    threads = divide_threads(whole, host_share)
    if threads.count != default:
        torch.set_num_threads(threads.count)
    extension = cpu.extension()
    if extension is not None:
        extension.pin_threads(threads.pinned)
    fields = {"threads": threads.count, "pinned": list(threads.pinned)}
    logger.info("compute_threads", extra={"fields": fields})
    return threads


def choose_threads(
    option: str,
    cores: Cores,
    usable: Sequence[int],
    default: int,
    whole: Callable[[Sequence[int]], list[int]],
) -> ComputeThreads:
    """What ``auto``, ``any`` or a list of cores means; ``default`` is torch's own number."""
    if option not in ("auto", "any"):
        chosen = _read_list(option, usable)
        return ComputeThreads(len(chosen), chosen)
    count = min(default, max(1, int(cores.effective)))
    pinned = tuple(whole(usable)[:count])
    # A quota pays for time on any core: pinned threads would wait where others are idle.
    is_free = cores.quota is None or cores.quota >= cores.usable
    if option == "auto" and is_free and count >= MIN_PINNED and len(pinned) == count:
        return ComputeThreads(count, pinned)
    return ComputeThreads(count)


def divide_threads(whole: ComputeThreads, share: HostShare) -> ComputeThreads:
    """One process's part of the threads of all: consecutive ones, the first processes the rest.

    Where there are fewer threads than processes, each has one, on a core that it may have to share.
    """
    if whole.count < share.count:
        place = share.index % whole.count
        return ComputeThreads(1, whole.pinned[place : place + 1])
    count, rest = divmod(whole.count, share.count)
    first = share.index * count + min(share.index, rest)
    count += share.index < rest
    return ComputeThreads(count, whole.pinned[first : first + count])


def _read_list(text: str, usable: Sequence[int]) -> tuple[int, ...]:
    chosen: list[int] = []
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ConfigError(
                f"cpu_cores: {text!r:.80} is not allowed; give auto, any, or cores as in 0-3,8"
            )
        low, high = int(first), int(last or first)
        if low > high:
            raise ConfigError(f"cpu_cores: {part!r:.80} runs backwards; give {high}-{low}")
        if not {low, high} <= set(usable):
            known = ", ".join(map(str, usable))
            raise ConfigError(f"cpu_cores: {part!r:.80} is not among {known:.200}")
        chosen += [number for number in usable if low <= number <= high]
    if len(set(chosen)) != len(chosen):
        raise ConfigError(f"cpu_cores: {text!r:.80} names a core twice; give each once")
    return tuple(chosen)
