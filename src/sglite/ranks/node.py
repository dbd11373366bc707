"""``sglite serve --node-rank k`` on a machine that does not lead: its ranks, and nothing else.

No HTTP, no engine: each rank joins the leader at ``dist_init_addr`` by itself. When one is lost all
others of this machine end too.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from sglite.config import EngineConfig
from sglite.distributed.layout import RankLayout
from sglite.errors import ConfigError, RankLostError
from sglite.ipc.frames import BAD_FRAME_ERRORS, FrameReader, FrameTooLargeError
from sglite.models.hub import resolve_model_directory
from sglite.ranks.channel import decode_from_rank
from sglite.ranks.handshake import read_secret
from sglite.ranks.messages import RankFault
from sglite.ranks.rank_settings import EXIT_BAD_CONFIG, EXIT_CLOSED, RankSettings
from sglite.ranks.rank_start import StartedRank, start_rank
from sglite.ranks.socket_channel import read_address

EXIT_S = 5.0
"""What a rank that has said its last word may take to end."""


def serve_node(config: EngineConfig, say: Callable[[str], None]) -> int:
    """Compute until the leader closes (0), or we are told to stop (0). ``say`` takes lines.

    Raises ConfigError where a rank cannot be made so, RankLostError where one, or the leader, is
    lost.
    """
    layout = RankLayout.of(config)
    read_address(config)
    read_secret(config.dist_key_file or "")
    directory = resolve_model_directory(
        config.model_path, source=config.model_source, revision=config.revision
    )
    ranks = layout.ranks_of_node(config.node_rank)
    names = f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {ranks[0]} to {ranks[-1]}"
    say(
        f"machine {config.node_rank} (of 0 to {layout.num_nodes - 1}): {names} of the "
        f"engine at {config.dist_init_addr}; HTTP is there"
    )
    started: dict[int, StartedRank] = {}
    try:
        with _stop_signals() as stopped:
            for rank in ranks:
                started[rank] = _start(config, rank, directory)
            return _wait(started, stopped)
    finally:
        for each in started.values():
            each.kill()


def _start(config: EngineConfig, rank: int, directory: Path) -> StartedRank:
    try:
        return start_rank(RankSettings(rank, config.to_dict(), str(directory), None))
    except OSError as error:
        raise RankLostError(f"the process of rank {rank} cannot be started: {error}") from error


@contextlib.contextmanager
def _stop_signals() -> Iterator[socket.socket]:
    """A socket that can be read once we are told to stop."""
    told, teller = socket.socketpair()
    teller.setblocking(False)
    before_fd = signal.set_wakeup_fd(teller.fileno(), warn_on_full_buffer=False)
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield told
    finally:
        signal.set_wakeup_fd(before_fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        told.close()
        teller.close()


def _wait(started: dict[int, StartedRank], stopped: socket.socket) -> int:
    """Until all ranks have ended well, one has not, or we are told to stop."""
    with selectors.DefaultSelector() as selector:
        selector.register(stopped, selectors.EVENT_READ)
        for rank, each in started.items():
            selector.register(each.socket, selectors.EVENT_READ, rank)
        _hear_all(selector, started)
    return EXIT_CLOSED


def _hear_all(selector: selectors.BaseSelector, started: dict[int, StartedRank]) -> None:
    """Returns when all have ended well, or we are told to stop; raises what one has ended with."""
    words: dict[int, RankFault] = {}
    readers = {rank: FrameReader() for rank in started}
    while len(selector.get_map()) > 1:
        ready = [key.data for key, _ in selector.select()]
        if None in ready:
            return
        for rank in ready:
            if not _hear(started[rank].socket, readers[rank], rank, words):
                selector.unregister(started[rank].socket)
                _look_at_end(rank, started[rank], words.get(rank))


def _hear(sock: socket.socket, reader: FrameReader, rank: int, words: dict[int, RankFault]) -> bool:
    """Take what a rank says; False where that was its last."""
    try:
        num_received = sock.recv_into(reader.space())
        for frame in reader.frames(num_received):
            message = decode_from_rank(frame)
            if isinstance(message, RankFault):
                words[rank] = message
    except (OSError, FrameTooLargeError, *BAD_FRAME_ERRORS):
        return False
    return num_received > 0


def _look_at_end(rank: int, started: StartedRank, word: RankFault | None) -> None:
    """Raises what a rank has ended with, if not well."""
    code = started.process.wait(EXIT_S)
    if code == EXIT_CLOSED:
        return
    message = f"rank {rank} has ended with code {code}" if word is None else word.message
    raise (ConfigError if code == EXIT_BAD_CONFIG else RankLostError)(message)
