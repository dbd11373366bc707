"""The engine's own process as rank 0: it starts the others and keeps them together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sglite.config import EngineConfig
from sglite.distributed.layout import RankLayout
from sglite.host.share import HostShare
from sglite.ranks.laned_assembly import build_laned_engine
from sglite.ranks.leader_executor import LeaderExecutor
from sglite.ranks.rank_launcher import launch_ranks
from sglite.ranks.rank_team import RankTeam
from sglite.ranks.seat import Seat, take_seat

if TYPE_CHECKING:
    from sglite.executors.executor import Executor
    from sglite.lanes.laned_engine import LanedEngine
    from sglite.models.loader import LoadedModel


@dataclass(frozen=True, slots=True)
class Leadership:
    """Our seat, and the ``team`` of all other ranks; close that in the end."""

    seat: Seat
    team: RankTeam

    @classmethod
    def begin(
        cls, config: EngineConfig, layout: RankLayout, model_directory: Path, host: HostShare
    ) -> Leadership:
        """Start the other ranks and meet them. ``config`` is settled, for all of them the same.

        ``host`` is the engine's part of the machine.

        Raises what a rank fails with: ConfigError, RankLostError.
        """
        launched = launch_ranks(config, layout, model_directory, host=host)
        team = launched.team
        try:
            team.settle("started", 0)  # loading torch may take longer than dist_timeout_s
            seat = team.watched(lambda: take_seat(config, layout, 0, launched.place))
        except BaseException:
            team.kill()  # nothing is lost, and one that loads would not hear a farewell
            raise
        return cls(seat, team)

    def lead(
        self, make_own: Callable[[], Executor], *, is_late: bool, drawn_within_s: float
    ) -> Executor:
        """What carries out plans with all ranks; ``make_own`` makes what does our share of them.

        The rest is as in :class:`LeaderExecutor`. RankLostError where a rank is lost meanwhile.
        """
        return LeaderExecutor(
            self.team.watched(make_own),
            self.team,
            is_late=is_late,
            drawing_rank=self.seat.drawing_rank,
            drawn_within_s=drawn_within_s,
        )

    def build_lanes(
        self, config: EngineConfig, model: LoadedModel, num_pages: int, **making: Any
    ) -> LanedEngine:
        """An engine whose ranks are lanes; see :func:`build_laned_engine`."""
        return build_laned_engine(config, model, num_pages, leadership=self, **making)
