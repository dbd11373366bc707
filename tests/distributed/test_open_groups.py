"""Ranks find each other in a store, and form the groups of their layout."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import distributed as dist

from sglite.distributed.layout import RankLayout
from sglite.distributed.open_groups import open_file_store, open_groups, open_tcp_store
from sglite.errors import ConfigError, RankLostError
from tests.distributed.rank_threads import run_ranks

SIX = RankLayout(tp_size=2, pp_size=3)


def test_there_is_a_group_of_all_and_one_of_the_stage():
    def work(rank, groups):
        totals = [
            group.all_reduce(torch.tensor([rank])).item() for group in (groups.ranks, groups.stage)
        ]
        return groups.ranks.rank, groups.stage.rank, *totals

    assert run_ranks(SIX, work) == [
        (0, 0, 15, 1),
        (1, 1, 15, 1),
        (2, 0, 15, 5),
        (3, 1, 15, 5),
        (4, 0, 15, 9),
        (5, 1, 15, 9),
    ]


def test_a_group_of_one_is_none_and_one_stage_has_one_group():
    alone = open_groups(RankLayout(), 0, dist.HashStore(), timeout_s=1)
    assert alone.ranks is None and alone.stage is None
    stages = run_ranks(RankLayout(1, 2), lambda rank, groups: (groups.ranks.size, groups.stage))
    assert stages == [(2, None)] * 2
    assert all(run_ranks(RankLayout(2), lambda rank, groups: groups.ranks is groups.stage))


def test_ranks_of_one_machine_meet_in_a_file_and_on_the_loopback(tmp_path, monkeypatch):
    interfaces = []
    create = dist.ProcessGroupGloo.create_device

    def noting(**options):
        interfaces.append(options)
        return create(**options)

    monkeypatch.setattr(dist.ProcessGroupGloo, "create_device", noting)
    layout = RankLayout(2)

    def one(rank):
        store = open_file_store(tmp_path / "store", 2, timeout_s=20)
        groups = open_groups(layout, rank, store, timeout_s=20)
        return groups.ranks.all_reduce(torch.tensor([rank + 1])).item()

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(one, range(2))) == [3, 3]
    assert len(interfaces) == 2
    assert all("lo" in each.values() or "127.0.0.1" in each.values() for each in interfaces)


def test_ranks_of_several_machines_meet_at_an_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    layout = RankLayout(2, num_nodes=2)

    def one(rank):
        store = open_tcp_store("127.0.0.1", port, 2, is_host=rank == 0, timeout_s=20)
        groups = open_groups(layout, rank, store, timeout_s=20, interface="lo")
        return groups.ranks.all_reduce(torch.tensor([rank + 1])).item(), store

    with ThreadPoolExecutor(2) as threads:
        assert [total for total, _ in threads.map(one, range(2))] == [3, 3]


def test_a_rank_that_never_comes_is_an_error_that_names_all_and_the_seconds():
    with pytest.raises(RankLostError, match=r"not all of the ranks \[0, 1\] came within 0\.2 s"):
        open_groups(RankLayout(2), 0, dist.HashStore(), timeout_s=0.2)


def test_an_address_where_nobody_listens_is_an_error_that_names_it():
    with socket.socket() as held:  # bound, but not listening
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with pytest.raises(RankLostError, match=rf"no store at 127\.0\.0\.1:{port} within 0\.3 s"):
            open_tcp_store("127.0.0.1", port, 2, is_host=False, timeout_s=0.3)


def test_a_port_of_the_store_that_is_taken_is_named():
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"the port after it \({port}\).*another port"):
            open_tcp_store("127.0.0.1", port, 2, is_host=True, timeout_s=5)
