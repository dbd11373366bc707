"""What ranks exchange through memory is what they exchange through sockets."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sglite.distributed import shared_memory_group
from sglite.distributed.layout import RankLayout
from sglite.distributed.open_groups import RankGroups
from sglite.distributed.shared_memory_group import SharedMemoryGroup
from sglite.errors import RankLostError
from tests.distributed.rank_threads import run_ranks
from tests.kernels.cpu.kernels import extension

extension()
pytestmark = pytest.mark.skipif(
    not shared_memory_group.DIRECTORY.is_dir(), reason="this system has no /dev/shm"
)

COUNTS = [3, 0, 2]


def values(rank: int, *shape: int) -> torch.Tensor:
    """Whole numbers, so that the order of sums does not matter."""
    generator = torch.Generator().manual_seed(rank)
    return torch.randint(-99, 99, shape, generator=generator).float()


def exchange(rank: int, groups: RankGroups) -> tuple[bool, dict[str, torch.Tensor]]:
    group = groups.ranks
    assert group is not None
    joined = group.gather(values(rank, 2, 5))
    found = {
        "sum": group.all_reduce(values(rank, 7, 9)),
        "narrow sum": group.all_reduce(values(rank, 4).bfloat16()),
        "integers": group.all_reduce(torch.tensor([rank, 1 << 40])),
        "nothing": group.all_reduce(torch.zeros(0, 4)),
        "token": group.broadcast(torch.tensor([rank + 50]), 2),
        "narrow": group.broadcast(values(rank, 3).bfloat16(), 1),
        "tokens": group.gather_tokens(values(rank, COUNTS[rank], 4), COUNTS),
        "own sums": group.scatter_sums(values(rank, sum(COUNTS), 4), COUNTS),
        "joined": joined if rank == 0 else torch.zeros(0),
    }
    return isinstance(group, SharedMemoryGroup), found


def test_ranks_exchange_the_same_with_and_without_shared_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(shared_memory_group, "DIRECTORY", tmp_path)
    shared = run_ranks(RankLayout(tp_size=3), exchange)
    assert not list(tmp_path.iterdir()), "a file was left behind"
    monkeypatch.setattr(shared_memory_group, "DIRECTORY", Path("/nowhere"))
    plain = run_ranks(RankLayout(tp_size=3), exchange)
    assert [is_shared for is_shared, _ in shared + plain] == [True] * 3 + [False] * 3
    for (_, found), (_, expected) in zip(shared, plain, strict=True):
        for name, tensor in expected.items():
            assert found[name].dtype == tensor.dtype, name
            assert torch.equal(found[name], tensor), name


def test_one_rank_that_cannot_map_the_memory_makes_all_use_sockets(monkeypatch):
    taken = []

    def fail_once(path: Path) -> object:
        taken.append(path)
        if len(taken) == 2:
            raise OSError("no room")
        return original(path)

    original = shared_memory_group._map
    monkeypatch.setattr(shared_memory_group, "_map", fail_once)
    found = run_ranks(RankLayout(tp_size=3), exchange)
    assert [is_shared for is_shared, _ in found] == [False] * 3
    assert not taken[0].exists()


def test_a_rank_that_is_late_is_lost():
    def work(rank: int, groups: RankGroups) -> str:
        assert isinstance(groups.ranks, SharedMemoryGroup)
        if rank == 1:
            return ""
        with pytest.raises(RankLostError) as raised:
            groups.ranks.all_reduce(torch.ones(3))
        return str(raised.value)

    message, _ = run_ranks(RankLayout(tp_size=2), work, timeout_s=0.3)
    assert "rank 0 of 2 lost another in all_reduce" in message
    assert "rank 1 " in message and "dist_timeout_s is 0.3" in message
