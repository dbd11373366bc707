"""Ranks as threads of one process, over gloo: fast, and as they are between processes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from torch import distributed as dist

from sglite.distributed.layout import RankLayout
from sglite.distributed.open_groups import RankGroups, open_groups

T = TypeVar("T")


def run_ranks(
    layout: RankLayout, work: Callable[[int, RankGroups], T], *, timeout_s: float = 30.0
) -> list[T]:
    """What ``work(rank, groups)`` returns on each rank; the first error that one raises."""
    store = dist.HashStore()

    def one(rank: int) -> T:
        groups = open_groups(layout, rank, store, timeout_s=timeout_s)
        result = work(rank, groups)
        if groups.ranks is not None:
            groups.ranks.finish_sending()
        return result

    with ThreadPoolExecutor(layout.num_ranks) as threads:
        return list(threads.map(one, range(layout.num_ranks)))
