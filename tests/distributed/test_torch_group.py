"""What ranks exchange arrives, in every type, and one that is missing is named."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from sglite.distributed import shared_memory_group
from sglite.distributed.layout import RankLayout
from sglite.errors import RankLostError
from tests.distributed.rank_threads import run_ranks

THREE = RankLayout(3)
COUNTS = [2, 0, 3]


@pytest.fixture(autouse=True, params=["sockets", "memory"])
def way(request, monkeypatch):
    """How CPU tensors get from rank to rank on one machine."""
    if request.param == "sockets":
        monkeypatch.setattr(shared_memory_group, "DIRECTORY", Path("/nowhere"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_sums_and_joins_are_right(dtype):
    def work(rank, groups):
        group, mine = groups.ranks, torch.full((2, 2), rank + 1.0, dtype=dtype)
        tensor = mine.clone()
        assert group.all_reduce(tensor) is tensor
        # Columns of a wider tensor, as a head's are: not contiguous.
        joined = group.gather(torch.cat((mine, mine), dim=1)[:, :2])
        return tensor.tolist(), joined, joined.is_contiguous()

    results = run_ranks(THREE, work)

    assert [total for total, _, _ in results] == [[[6.0, 6.0], [6.0, 6.0]]] * 3
    assert results[0][1].tolist() == [[1, 1, 2, 2, 3, 3]] * 2 and results[0][2]
    assert [joined.tolist() for _, joined, _ in results[1:]] == [[[2, 2]] * 2, [[3, 3]] * 2]


def test_ids_are_broadcast_from_any_rank():
    def work(rank, groups):
        ids = torch.full((3,), rank, dtype=torch.int64)
        return [groups.ranks.broadcast(ids.clone(), source).tolist() for source in (0, 2)]

    assert run_ranks(THREE, work) == [[[0] * 3, [2] * 3]] * 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tokens_of_lanes_are_gathered_and_their_sums_come_back(dtype):
    def work(rank, groups):
        group = groups.ranks
        mine = torch.full((COUNTS[rank], 4), rank + 1.0, dtype=dtype)
        gathered = group.gather_tokens(mine, COUNTS)
        sums = group.scatter_sums(gathered * (rank + 1), COUNTS)
        return gathered[:, 0].tolist(), sums.tolist()

    results = run_ranks(THREE, work)

    assert [gathered for gathered, _ in results] == [[1, 1, 3, 3, 3]] * 3
    assert [sums for _, sums in results] == [[[6] * 4] * 2, [], [[18] * 4] * 3]


def test_nothing_is_exchanged_without_error():
    def work(rank, groups):
        group, empty = groups.ranks, torch.empty(0, 4)
        group.send(empty, 1 - rank)
        group.receive(empty, 1 - rank)
        results = [group.all_reduce(empty), group.broadcast(empty), group.gather(empty)]
        results += [group.gather_tokens(empty, [0, 0]), group.scatter_sums(empty, [0, 0])]
        return [result.shape[0] for result in results]

    assert run_ranks(RankLayout(2), work) == [[0] * 5] * 2


def test_a_sender_does_not_wait_for_its_receiver():
    def work(rank, groups):
        group = groups.ranks
        if rank == 0:
            # Each sends before it receives: with sends that wait, neither would get on.
            group.send(torch.tensor([1.0, 2.0]), 1)
            return group.receive(torch.zeros(1), 1).tolist()
        group.send(torch.tensor([3.0]), 0)
        first = group.receive(torch.zeros(2), 0).tolist()
        group.send(torch.tensor([4.0]), 0)
        return first

    def twice(rank, groups):
        first = work(rank, groups)
        return first, groups.ranks.receive(torch.zeros(1), 1).tolist() if rank == 0 else None

    assert run_ranks(RankLayout(2), twice) == [([3.0], [4.0]), ([1.0, 2.0], None)]


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda group: group.all_reduce(torch.ones(2)), "all_reduce"),
        (lambda group: group.receive(torch.ones(2), 1), "receive from rank 1"),
        (lambda group: group.gather_tokens(torch.ones(1, 2), [1, 1]), "gather_tokens"),
    ],
)
def test_a_rank_that_does_not_come_is_an_error_with_operation_and_seconds(call, name):
    def work(rank, groups):
        if rank == 0:
            with pytest.raises(RankLostError) as caught:
                call(groups.ranks)
            done.set()
            return str(caught.value)
        assert done.wait(20)
        return ""

    done = threading.Event()
    message = run_ranks(RankLayout(2), work, timeout_s=0.3)[0]

    assert f"rank 0 of 2 lost another in {name}, after 0." in message
    assert "dist_timeout_s is 0.3" in message and "[/" not in message


def test_a_rank_that_has_gone_is_noticed_at_once():
    def work(rank, groups):
        if rank == 1:
            return ""
        with pytest.raises(RankLostError) as caught:
            groups.ranks.all_reduce(torch.ones(2))
        return str(caught.value)

    message = run_ranks(RankLayout(2), work, timeout_s=60.0)[0]

    assert "lost another in all_reduce" in message
    reasons = ("closed by peer", "reset by peer", "rank 1 has ended")
    assert any(reason in message for reason in reasons)


def test_tensors_with_gaps_and_wrong_counts_are_our_bugs():
    def work(rank, groups):
        for call in (groups.ranks.all_reduce, groups.ranks.broadcast):
            with pytest.raises(AssertionError, match="gaps"):
                call(torch.ones(2, 2)[:, :1])
        with pytest.raises(AssertionError, match="2 tokens, told"):
            groups.ranks.gather_tokens(torch.ones(2, 4), [1, 1])
        return groups.ranks.rank, groups.ranks.size

    assert run_ranks(RankLayout(2), work) == [(0, 2), (1, 2)]
