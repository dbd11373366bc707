"""One rank other than the leader's, from its settings to its end.

meet the others ─ plan memory ─ load ─ measure (GPU) ─ pool and executor ─ plans ... ─ close
                     │  planned   │ loaded  │ measured       │  ready
                     ▼            ▼         ▼                ▼     the leader waits for all at each
"""

from __future__ import annotations

import contextlib
import logging
import socket
from pathlib import Path

from sglite.assembly import load_share, plan_on_device, plan_share
from sglite.config import EngineConfig
from sglite.config_values import device_type
from sglite.distributed.layout import RankLayout
from sglite.errors import ConfigError, ModelLoadError, RankLostError
from sglite.executors.device_assembly import open_device
from sglite.host.share import HostShare
from sglite.ipc.frames import encode
from sglite.models.loader import read_model_info
from sglite.observability.logging import bound_fields, ensure_logging
from sglite.ranks.channel import PlanReceiver, decode_to_rank
from sglite.ranks.followers import make_follower
from sglite.ranks.local_channel import LocalReceiver
from sglite.ranks.messages import FromRank, Phase, Proceed, RankAt, RankFault
from sglite.ranks.rank_gate import join_leader
from sglite.ranks.rank_settings import EXIT_BAD_CONFIG, EXIT_CLOSED, EXIT_FAULT, RankSettings
from sglite.ranks.seat import MeetingPlace, device_of, host_share, take_seat
from sglite.ranks.socket_channel import SocketReceiver, interface_of

MAX_MESSAGE_CHARACTERS = 2000

OPTIONS_OF_A_MACHINE = (
    "model_path",
    "tokenizer_path",
    "cpu_cores",
    "node_rank",
    "dist_init_addr",
    "dist_key_file",
    "log_level",
    "log_format",
)
"""What each machine says for itself; all else is the leader's to say."""

logger = logging.getLogger(__name__)


class RankWorker:
    """The rank of ``settings``; ``parent`` is the socket shared with who started it.

    That is the leader, or on another machine than the leader's its ``sglite serve``.
    """

    def __init__(self, settings: RankSettings, parent: socket.socket) -> None:
        self._settings = settings
        self._config = EngineConfig(**settings.config)
        self._parent = parent
        self._leader: socket.socket | None = None

    def run(self) -> int:
        """The exit code, once leader and parent have been told."""
        ensure_logging(self._config.log_level, style=self._config.log_format)
        with bound_fields(rank=self._settings.rank):
            try:
                self._work()
            except (ConfigError, ModelLoadError) as error:
                return self._fail(str(error), EXIT_BAD_CONFIG)
            except EOFError as error:
                return self._fail(str(error), EXIT_FAULT)
            except Exception as error:
                logger.critical("rank_failed", exc_info=error)
                return self._fail(self._explain(error), EXIT_FAULT)
        return EXIT_CLOSED

    def _explain(self, error: Exception) -> str:
        if isinstance(error, RankLostError):
            return str(error)
        return f"rank {self._settings.rank} has failed: {error.__class__.__name__}: {error}"

    def _work(self) -> None:
        receiver, place = self._reach_leader()
        settings, layout = self._settings, RankLayout.of(self._config)
        self._come_to(receiver, "started")
        seat = take_seat(self._config, layout, settings.rank, place)
        config = self._config.replace(device=device_of(self._config, layout, seat.rank))
        info = read_model_info(settings.model_directory)
        memory = plan_share(config, info, host_share(layout, seat.rank, HostShare(*settings.host)))
        self._come_to(receiver, "planned", memory.num_pages)
        share = seat.model_share(info.spec.num_layers)
        model = load_share(config, info, share, show_progress=False)
        num_pages = self._come_to(receiver, "loaded", memory.num_pages, model.num_bytes)
        device = None
        if device_type(config.device) == "cuda":
            device = open_device(config.device)
            memory = plan_on_device(config, model, device, memory)
            num_pages = self._come_to(receiver, "measured", memory.num_pages)
        follower = make_follower(
            config, model, num_pages, seat, receiver=receiver, tell=self._tell, device=device
        )
        self._come_to(receiver, "ready", num_pages)
        follower.run()

    def _reach_leader(self) -> tuple[PlanReceiver, MeetingPlace]:
        """Where plans come from, and where the ranks meet. Settles the options."""
        channel = self._settings.channel
        if channel is not None:
            self._leader = self._parent
            receiver = LocalReceiver(
                channel.memory_fd, channel.door_fd, channel.reader, channel.num_readers
            )
            return receiver, MeetingPlace(channel.store_path)
        directory = Path(self._settings.model_directory)
        sock, options = join_leader(self._config, self._settings.rank, directory)
        ours = {name: getattr(self._config, name) for name in OPTIONS_OF_A_MACHINE}
        self._leader, self._config = sock, EngineConfig(**(options | ours))
        return SocketReceiver(sock), MeetingPlace(interface=interface_of(sock.getsockname()[0]))

    def _come_to(
        self, receiver: PlanReceiver, phase: Phase, num_pages: int = 0, weights_bytes: int = 0
    ) -> int:
        """Say how far we are and wait for the others; the number of pages that fits all."""
        self._tell(RankAt(phase, num_pages, weights_bytes))
        message = decode_to_rank(receiver.receive())
        if not isinstance(message, Proceed):
            raise EOFError("the leader gave up")
        return message.num_pages

    def _tell(self, message: FromRank) -> None:
        assert self._leader is not None, "the leader has been reached"
        self._leader.sendall(encode(message))

    def _fail(self, message: str, code: int) -> int:
        """Say why we end, to whoever still listens."""
        fault = encode(RankFault(message[:MAX_MESSAGE_CHARACTERS], code == EXIT_BAD_CONFIG))
        for listener in {self._leader, self._parent}:
            if listener is not None:
                with contextlib.suppress(OSError):
                    listener.sendall(fault)
        return code
