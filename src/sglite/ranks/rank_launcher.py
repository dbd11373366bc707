"""Starts the other ranks of an engine: processes of this machine, and those of others that come."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sglite.config import EngineConfig
from sglite.distributed.layout import RankLayout
from sglite.errors import ConfigError, EngineDeadError
from sglite.host.share import WHOLE_MACHINE, HostShare
from sglite.ranks.channel import PlanSender
from sglite.ranks.local_channel import LocalSender
from sglite.ranks.rank_gate import RankGate
from sglite.ranks.rank_links import RankLinks
from sglite.ranks.rank_settings import LocalChannel, RankSettings
from sglite.ranks.rank_start import MODULE, StartedRank, start_rank
from sglite.ranks.rank_team import Fanout, RankTeam
from sglite.ranks.seat import MeetingPlace
from sglite.ranks.socket_channel import SocketSender, interface_of, read_address

STORE_NAME = "ranks.store"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LaunchedRanks:
    """The team, and where its ranks meet us."""

    team: RankTeam
    place: MeetingPlace


def launch_ranks(
    config: EngineConfig,
    layout: RankLayout,
    model_directory: Path,
    *,
    host: HostShare = WHOLE_MACHINE,
    module: str = MODULE,
) -> LaunchedRanks:
    """Start the other ranks of this machine, which begin to load, and let those of others in.

    ``config`` is settled, ``host`` the engine's part of this machine, ``module`` their program.
    What ranks of one machine share has no name but for the file where they meet, in a directory
    that is removed when they have met. Raises ConfigError where that cannot be made or the
    network's options are bad, EngineDeadError where no process can be started, RankLostError where
    a rank of another machine does not come.
    """
    remote = _let_in(config, layout, model_directory)
    try:
        return _launch(config, layout, model_directory, remote, host=host, module=module)
    except BaseException:
        for sock in remote.values():
            sock.close()
        raise


def _launch(
    config: EngineConfig,
    layout: RankLayout,
    model_directory: Path,
    remote: dict[int, socket.socket],
    *,
    host: HostShare,
    module: str,
) -> LaunchedRanks:
    """The ranks of this machine, joined by those of others, whose connections are ``remote``."""
    ranks = layout.ranks_of_node(0)[1:]
    directory = _make_directory()
    is_alone = layout.num_nodes == 1
    place = MeetingPlace(os.path.join(directory, STORE_NAME)) if is_alone else _on_network(config)
    local = LocalSender(len(ranks), timeout_s=config.dist_timeout_s)
    started: dict[int, StartedRank] = {}
    try:
        for reader, rank in enumerate(ranks):
            channel = LocalChannel(
                *local.fds_of(reader),
                reader=reader,
                num_readers=len(ranks),
                store_path=place.store_path,
            )
            settings = RankSettings(
                rank, config.to_dict(), str(model_directory), channel, dataclasses.astuple(host)
            )
            started[rank] = start_rank(settings, module)
    except BaseException as error:  # Ctrl-C too must leave no process and no directory
        for each in started.values():
            each.kill()
        local.close()
        _remove(directory)
        if isinstance(error, OSError):
            raise EngineDeadError(f"a rank's process cannot be started: {error}") from error
        raise
    local.close_inherited()
    senders: list[PlanSender] = [local] if ranks else []
    for rank, sock in remote.items():
        senders.append(SocketSender(sock, rank=rank, timeout_s=config.dist_timeout_s))
    links = RankLinks({rank: each.socket for rank, each in started.items()} | remote)
    links.start()
    processes = {rank: each.process for rank, each in started.items()}
    team = RankTeam(links, Fanout(senders), processes, release=lambda: _remove(directory))
    return LaunchedRanks(team, place)


def _let_in(
    config: EngineConfig, layout: RankLayout, model_directory: Path
) -> dict[int, socket.socket]:
    """The connections of the ranks of other machines; waits for them."""
    if layout.num_nodes == 1:
        return {}
    expected = list(range(layout.ranks_per_node, layout.num_ranks))
    gate = RankGate(config, expected, model_directory)
    fields = {"ranks": expected, "address": config.dist_init_addr}
    logger.warning("waiting_for_ranks", extra={"fields": fields})
    return gate.wait()


def _on_network(config: EngineConfig) -> MeetingPlace:
    host, _ = read_address(config)
    with contextlib.suppress(OSError):
        host = socket.gethostbyname(host)
    return MeetingPlace(interface=interface_of(host))


def _make_directory() -> str:
    try:
        return tempfile.mkdtemp(prefix="sglite-ranks-")  # mkdtemp makes it 0700
    except OSError as error:
        raise ConfigError(
            f"no directory can be made where ranks meet: {error}; set TMPDIR to one that can be "
            "written"
        ) from error


def _remove(directory: str) -> None:
    shutil.rmtree(directory, ignore_errors=True)
