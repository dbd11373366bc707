"""The process of a rank: ``python -m sglite.ranks.rank_process`` with a socket as standard input.

Its first frame are RankSettings. It ends with 0 when the leader closes, 1 after a fault and 2 where
options or model are bad; it ends at once, and leaves nothing, when the leader is gone. Its log goes
to standard error.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import shutil
import signal
import sys
import threading
from typing import NoReturn

import msgspec

from sglite.config_sources import set_default_environment
from sglite.ipc.spawning import STDIN_FD, parents_socket
from sglite.ranks.rank_settings import EXIT_FAULT, LocalChannel, RankSettings

FRAME_HEADER_BYTES = 4


def main() -> NoReturn:
    """Be a rank until the leader closes, or fails."""
    # Ctrl-C and a supervisor's SIGTERM reach the whole group; only the leader decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=False)
    faulthandler.register(signal.SIGUSR2, all_threads=True)
    settings = read_settings()
    threading.Thread(
        target=_end_with_parent, args=(settings.channel,), name="parent-watch", daemon=True
    ).start()
    # Ranks wait for each other in every layer; threads that spin meanwhile take their cores.
    set_default_environment(OMP_WAIT_POLICY="passive")  # before torch is loaded
    from sglite.ranks.rank_worker import RankWorker

    _end(RankWorker(settings, parents_socket()).run())


def read_settings() -> RankSettings:
    """The first frame. Ends the process where the leader is gone before it is written."""
    size = int.from_bytes(_read(FRAME_HEADER_BYTES), "big")
    return msgspec.msgpack.decode(_read(size), type=RankSettings)


def _read(num_bytes: int) -> bytes:
    """So many bytes of the leader's, and none beyond."""
    data = b""
    while len(data) < num_bytes:
        part = os.read(STDIN_FD, num_bytes - len(data))
        if not part:
            os._exit(EXIT_FAULT)
        data += part
    return data


def _end_with_parent(channel: LocalChannel | None) -> None:
    """Who started us says nothing here any more: what can be read is its end. Nothing stays."""
    while True:
        try:
            if not os.read(STDIN_FD, 1):
                break
        except OSError:
            break
    if channel is not None and channel.store_path is not None:
        shutil.rmtree(os.path.dirname(channel.store_path), ignore_errors=True)
    os._exit(EXIT_FAULT)


def _end(code: int) -> NoReturn:
    """Leave at once: threads of libraries must not delay the end, nor crash it."""
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
