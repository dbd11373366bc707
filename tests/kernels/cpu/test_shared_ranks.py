"""Ranks that share memory: the same sums everywhere, and no waiting for one that is gone."""

from __future__ import annotations

import mmap
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.kernels.cpu.kernels import extension

_cpu = extension()

SLOT_FLOATS = (256 << 10) // 4
SIZES = [1, 3, 1024, SLOT_FLOATS, SLOT_FLOATS + 1, 3 * SLOT_FLOATS - 5]


def region_of(num_ranks: int) -> mmap.mmap:
    return mmap.mmap(-1, _cpu.SharedRanks.region_bytes(num_ranks))


def on_ranks(num_ranks: int, work: Callable[[Any, int], Any]) -> list[Any]:
    """What ``work(ranks, rank)`` returns on a thread for each rank."""
    region = region_of(num_ranks)
    results: list[Any] = [None] * num_ranks

    def run(rank: int) -> None:
        results[rank] = work(_cpu.SharedRanks(region, rank, num_ranks, 20.0), rank)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(num_ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def values(rank: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape) + 1000 * rank))


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 4])
def test_sums_are_added_in_the_order_of_the_ranks(num_ranks):
    def work(ranks: Any, rank: int) -> list[torch.Tensor]:
        found = [values(rank, size) for size in SIZES]
        for x in found:
            ranks.all_reduce(x)
        return found

    results = on_ranks(num_ranks, work)
    for index, size in enumerate(SIZES):
        expected = values(0, size)
        for rank in range(1, num_ranks):
            expected += values(rank, size)
        assert all(torch.equal(result[index], expected) for result in results)


def test_integers_wrap_around():
    most = torch.iinfo(torch.int64).max

    def work(ranks: Any, rank: int) -> list[int]:
        x = torch.tensor([most, rank])
        ranks.all_reduce(x)
        return x.tolist()

    assert on_ranks(3, work) == [[most - 2, 3]] * 3


def test_ranks_get_what_one_has_and_the_first_what_all_have():
    shapes = [(1, 5), (7, 33), (2, 2 * SLOT_FLOATS + 9)]

    def work(ranks: Any, rank: int) -> list[torch.Tensor]:
        found = []
        for shape in shapes:
            joined = torch.full((shape[0], 3 * shape[1]), torch.nan) if rank == 0 else None
            ranks.gather(values(rank, *shape), joined)
            x = values(rank, *shape) if rank == 2 else torch.zeros(shape)
            ranks.broadcast(x, 2)
            found += [x] if joined is None else [x, joined]
        return found

    first, *others = on_ranks(3, work)
    for index, shape in enumerate(shapes):
        assert torch.equal(
            first[2 * index + 1], torch.cat([values(r, *shape) for r in range(3)], 1)
        )
        for found in (first[2 * index], *(other[index] for other in others)):
            assert torch.equal(found, values(2, *shape))


def test_a_rank_that_runs_ahead_overwrites_nothing():
    """Ranks of very different pace, and calls in which some need not wait."""
    rounds = 60

    def work(ranks: Any, rank: int) -> list[tuple[float, int, list[float]]]:
        pace, found = random.Random(rank), []
        for index in range(rounds):
            if pace.random() < 0.2:
                time.sleep(pace.random() * 0.002)
            total = torch.full((9,), float(index * 4 + rank))
            ranks.all_reduce(total)
            token = torch.tensor([index + 7 if rank == index % 4 else -1])
            ranks.broadcast(token, index % 4)
            joined = torch.zeros(1, 4) if rank == 0 else None
            ranks.gather(torch.tensor([[float(index * 10 + rank)]]), joined)
            row = [] if joined is None else joined[0].tolist()
            found.append((float(total[0]), int(token), row))
        return found

    for rank, found in enumerate(on_ranks(4, work)):
        for index, (total, token, row) in enumerate(found):
            assert total == index * 16 + 6
            assert token == index + 7
            assert row == ([index * 10.0 + other for other in range(4)] if rank == 0 else [])


def test_a_rank_that_does_not_come_ends_the_wait():
    region = region_of(2)
    ranks = _cpu.SharedRanks(region, 0, 2, 0.1)
    other = _cpu.SharedRanks(region, 1, 2, 0.1)  # is there, in a process that lives
    with pytest.raises(RuntimeError, match="rank 1 did not come"):
        ranks.all_reduce(torch.ones(4))
    del other


def test_a_rank_that_has_left_ends_the_wait_at_once():
    region = region_of(2)
    ranks = _cpu.SharedRanks(region, 0, 2, 600.0)
    other = _cpu.SharedRanks(region, 1, 2, 600.0)
    x = torch.ones(4)
    thread = threading.Thread(target=other.all_reduce, args=(torch.ones(4),))
    thread.start()
    ranks.all_reduce(x)
    thread.join()
    assert x.tolist() == [2.0] * 4
    del other, thread
    with pytest.raises(RuntimeError, match="rank 1 has ended"):
        ranks.all_reduce(x)


RANK_THAT_ENDS = """
import importlib.util, mmap, sys
spec = importlib.util.spec_from_file_location("_cpu", sys.argv[1])
cpu = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cpu)
with open(sys.argv[2], "r+b") as file:
    cpu.SharedRanks(mmap.mmap(file.fileno(), 0), 1, 2, 30.0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process has ended")
def test_a_rank_whose_process_has_ended_is_noticed_at_once(tmp_path):
    path = tmp_path / "region"
    path.write_bytes(bytes(_cpu.SharedRanks.region_bytes(2)))
    with path.open("r+b") as file:
        region = mmap.mmap(file.fileno(), 0)
    ranks = _cpu.SharedRanks(region, 0, 2, 600.0)
    subprocess.run([sys.executable, "-c", RANK_THAT_ENDS, _cpu.__file__, str(path)], check=True)
    with pytest.raises(RuntimeError, match="rank 1 has ended"):
        ranks.all_reduce(torch.ones(4))


def test_what_does_not_fit_is_refused():
    region = region_of(2)
    with pytest.raises(ValueError, match="too small"):
        _cpu.SharedRanks(region, 0, 3, 1.0)
    with pytest.raises(ValueError, match="no such rank"):
        _cpu.SharedRanks(region, 2, 2, 1.0)
    ranks = _cpu.SharedRanks(region, 0, 2, 1.0)
    with pytest.raises(ValueError, match="float32"):
        ranks.all_reduce(torch.ones(4, dtype=torch.int32))
    with pytest.raises(ValueError, match="no such rank"):
        ranks.broadcast(torch.ones(4), 2)
    with pytest.raises(ValueError, match="parts of all ranks"):
        ranks.gather(torch.ones(2, 4), torch.ones(2, 4))
