"""Starts the process of one rank. Imports no torch, for a machine that only starts ranks."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from dataclasses import dataclass

from sglite.ipc.frames import encode
from sglite.ipc.spawning import spawn
from sglite.ranks.rank_settings import RankSettings

MODULE = "sglite.ranks.rank_process"


@dataclass(frozen=True, slots=True)
class StartedRank:
    """A rank's process, and the socket that we share with it."""

    process: subprocess.Popen[bytes]
    socket: socket.socket

    def kill(self) -> None:
        """End it now. Safe to repeat."""
        self.process.kill()
        self.process.wait()
        self.socket.close()


def start_rank(settings: RankSettings, module: str = MODULE) -> StartedRank:
    """Start a rank's process and tell it its settings. Raises OSError."""
    ours, theirs = socket.socketpair()
    channel = settings.channel
    fds = () if channel is None else (channel.memory_fd, channel.door_fd)
    with theirs:
        try:
            process = spawn(module, stdin=theirs.fileno(), pass_fds=fds)
        except OSError:
            ours.close()
            raise
    with contextlib.suppress(OSError):  # it has ended: whoever listens is told
        ours.sendall(encode(settings))
    return StartedRank(process, ours)
