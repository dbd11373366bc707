"""The engine's own process as rank 0: it starts the others and keeps them together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sglite.config import EngineConfig
from sglite.distributed.layout import RankLayout
from sglite.host.share import HostShare
from sglite.ranks.rank_launcher import launch_ranks
from sglite.ranks.rank_team import RankTeam
from sglite.ranks.seat import Seat, take_seat


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
