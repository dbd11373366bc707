"""Starts the other ranks of an engine, as processes of this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sglite.config import EngineConfig
from sglite.distributed.layout import RankLayout
from sglite.errors import ConfigError, EngineDeadError
from sglite.ipc.frames import encode
from sglite.ipc.spawning import spawn
from sglite.ranks.local_channel import LocalSender
from sglite.ranks.rank_links import RankLinks
from sglite.ranks.rank_settings import RankSettings
from sglite.ranks.rank_team import RankTeam

MODULE = "sglite.ranks.rank_process"
STORE_NAME = "ranks.store"


@dataclass(frozen=True, slots=True)
class LaunchedRanks:
    """The team, and the file where its ranks meet us."""

    team: RankTeam
    store_path: str


def launch_ranks(
    config: EngineConfig, layout: RankLayout, model_directory: Path, *, module: str = MODULE
) -> LaunchedRanks:
    """Start ranks 1 and on, which begin to load. ``config`` is settled, ``module`` their program.

    What they share has no name but for the file where they meet, in a directory of its own that is
    removed when they have met. Raises ConfigError where that cannot be made, EngineDeadError where no
    process can.
    """
    ranks = range(1, layout.num_ranks)
    directory = _make_directory()
    store_path = os.path.join(directory, STORE_NAME)
    sender = LocalSender(len(ranks), timeout_s=config.dist_timeout_s)
    sockets: dict[int, socket.socket] = {}
    processes: dict[int, subprocess.Popen[bytes]] = {}
    try:
        for reader, rank in enumerate(ranks):
            memory_fd, door_fd = sender.fds_of(reader)
            settings = RankSettings(
                rank=rank,
                config=config.to_dict(),
                model_directory=str(model_directory),
                store_path=store_path,
                memory_fd=memory_fd,
                door_fd=door_fd,
                reader=reader,
                num_readers=len(ranks),
            )
            sockets[rank], processes[rank] = _start(settings, module)
    except OSError as error:
        for process in processes.values():
            process.kill()
            process.wait()
        sender.close()
        _remove(directory)
        raise EngineDeadError(f"a rank's process cannot be started: {error}") from error
    sender.close_inherited()
    links = RankLinks(sockets)
    links.start()
    team = RankTeam(links, sender, processes, release=lambda: _remove(directory))
    return LaunchedRanks(team, store_path)


def _start(settings: RankSettings, module: str) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    ours, theirs = socket.socketpair()
    fds = (settings.memory_fd, settings.door_fd)
    with theirs:
        try:
            process = spawn(module, stdin=theirs.fileno(), pass_fds=fds)
        except OSError:
            ours.close()
            raise
    with contextlib.suppress(OSError):  # it has ended: whoever listens is told
        ours.sendall(encode(settings))
    return ours, process


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
