"""What a rank other than the leader's does once its share of the model is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sglite.assembly import make_share_executor
from sglite.config import EngineConfig
from sglite.device import Device
from sglite.ranks.channel import PlanReceiver
from sglite.ranks.joint_ranks import LaneFollower
from sglite.ranks.laned_assembly import make_lane_executor
from sglite.ranks.messages import StepDone
from sglite.ranks.rank_follower import RankFollower
from sglite.ranks.seat import Seat

if TYPE_CHECKING:
    from sglite.models.loader import LoadedModel


def make_follower(
    config: EngineConfig,
    model: LoadedModel,
    num_pages: int,
    seat: Seat,
    *,
    receiver: PlanReceiver,
    tell: Callable[[StepDone], None],
    device: Device | None = None,
) -> RankFollower | LaneFollower:
    """Who carries out the plans from ``receiver``; a rank that draws gives its results to ``tell``.

    ``model`` is the rank's share, ``num_pages`` what all ranks have room for, ``device`` what
    computes, unless the host does.
    """
    if seat.layout.num_lanes > 1:
        lane = make_lane_executor(config, model, num_pages, lane=seat.rank)
        return LaneFollower(lane, receiver, lane=seat.rank, tell=tell)
    executor = make_share_executor(config, model, num_pages, seat, device=device)
    return RankFollower(
        executor,
        receiver,
        tell=tell if seat.draws else None,
        num_open=0 if device is None else config.max_in_flight - 1,
    )
