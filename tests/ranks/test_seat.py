from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sglite.config import EngineConfig
from sglite.distributed.layout import RankLayout
from sglite.distributed.open_groups import RankGroups
from sglite.errors import ConfigError
from sglite.host.share import WHOLE_MACHINE, HostShare
from sglite.ranks.seat import MeetingPlace, Seat, device_of, host_share, take_seat


def test_the_first_rank_of_the_last_stage_draws() -> None:
    layout = RankLayout(tp_size=2, pp_size=2)
    seats = [Seat(layout, rank, RankGroups()) for rank in range(4)]
    assert [seat.draws for seat in seats] == [False, False, True, False]
    assert [Seat(RankLayout(3), rank, RankGroups()).draws for rank in range(3)] == [
        True, False, False
    ]  # fmt: skip


def test_shares_are_those_of_stage_and_place() -> None:
    share = Seat(RankLayout(tp_size=2, pp_size=2), 3, RankGroups()).model_share(6)
    assert (share.tp.rank, share.tp.size, share.layers) == (1, 2, range(3, 6))
    assert (share.is_first_stage, share.is_last_stage) == (False, True)


def test_a_machine_is_divided_among_its_own_ranks() -> None:
    layout = RankLayout(tp_size=4, num_nodes=2)
    assert [host_share(layout, rank, WHOLE_MACHINE) for rank in range(4)] == [
        HostShare(0, 2), HostShare(1, 2), HostShare(0, 2), HostShare(1, 2)
    ]  # fmt: skip
    second_of_three = HostShare(1, 3)
    assert [host_share(layout, rank, second_of_three) for rank in range(2)] == [
        HostShare(2, 6), HostShare(3, 6)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("device", "devices"),
    [("cpu", ["cpu"] * 4), ("cuda:2", ["cuda:2", "cuda:3", "cuda:2", "cuda:3"])],
)
def test_each_rank_has_a_gpu_of_its_machine_to_itself(device: str, devices: list[str]) -> None:
    config, layout = EngineConfig(device=device), RankLayout(tp_size=4, num_nodes=2)
    assert [device_of(config, layout, rank) for rank in range(4)] == devices


def test_a_rank_alone_has_nobody_to_meet(tmp_path: Path) -> None:
    place = MeetingPlace(str(tmp_path / "store"))
    seat = take_seat(EngineConfig(), RankLayout(), 0, place)
    assert seat.groups == RankGroups()


def test_a_machine_with_too_few_gpus_is_told_before_the_ranks_meet(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    config, layout = EngineConfig(device="cuda:2", tp_size=2), RankLayout(2)
    with pytest.raises(ConfigError, match="rank 1 is to compute on cuda:3, .* has 3 GPUs"):
        take_seat(config, layout, 1, MeetingPlace(str(tmp_path / "store")))
