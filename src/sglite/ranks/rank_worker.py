"""One rank other than the leader's, from its settings to its end.

meet the others ─ plan memory ─ load ─ pool and executor ─ plans ... ─ close
                     │  planned   │  loaded     │  ready
                     ▼            ▼             ▼            the leader waits for all at each
"""

from __future__ import annotations

import contextlib
import logging
import socket

from sglite.assembly import load_share, make_share_executor, plan_share
from sglite.config import EngineConfig
from sglite.distributed.layout import RankLayout
from sglite.errors import ConfigError, ModelLoadError, RankLostError
from sglite.ipc.frames import encode
from sglite.models.loader import read_model_info
from sglite.observability.logging import bound_fields, ensure_logging
from sglite.ranks.channel import PlanReceiver, decode_to_rank
from sglite.ranks.local_channel import LocalReceiver
from sglite.ranks.messages import FromRank, Phase, Proceed, RankAt, RankFault
from sglite.ranks.rank_follower import RankFollower
from sglite.ranks.rank_settings import RankSettings
from sglite.ranks.seat import Seat, device_of, host_share, take_seat

EXIT_CLOSED = 0
EXIT_FAULT = 1
EXIT_BAD_CONFIG = 2
MAX_MESSAGE_CHARACTERS = 2000

logger = logging.getLogger(__name__)


class RankWorker:
    """The rank of ``settings``; ``leader`` is the socket on which it answers."""

    def __init__(self, settings: RankSettings, leader: socket.socket) -> None:
        self._settings = settings
        self._leader = leader
        self._config = EngineConfig(**settings.config)
        self._layout = RankLayout.of(self._config)
        self._receiver: PlanReceiver = LocalReceiver(
            settings.memory_fd, settings.door_fd, settings.reader, settings.num_readers
        )

    def run(self) -> int:
        """The exit code, once the leader has been told."""
        ensure_logging(self._config.log_level, style=self._config.log_format)
        with bound_fields(rank=self._settings.rank):
            try:
                self._work()
            except EOFError:
                logger.error("leader_gone")
                return EXIT_FAULT
            except (ConfigError, ModelLoadError) as error:
                return self._fail(str(error), EXIT_BAD_CONFIG)
            except Exception as error:
                logger.critical("rank_failed", exc_info=error)
                return self._fail(self._explain(error), EXIT_FAULT)
        return EXIT_CLOSED

    def _explain(self, error: Exception) -> str:
        if isinstance(error, RankLostError):
            return str(error)
        return f"rank {self._settings.rank} has failed: {error.__class__.__name__}: {error}"

    def _work(self) -> None:
        settings = self._settings
        self._come_to("started", 0)
        seat = self.meet()
        config = self._config.replace(device=device_of(self._config, self._layout, seat.rank))
        info = read_model_info(settings.model_directory)
        share = seat.model_share(info.spec.num_layers)
        memory = plan_share(config, info, host_share(self._layout, seat.rank))
        self._come_to("planned", memory.num_pages)
        model = load_share(config, info, share, show_progress=False)
        num_pages = self._come_to("loaded", memory.num_pages, model.num_bytes)
        executor = make_share_executor(config, model, num_pages, seat)
        self._come_to("ready", num_pages)
        tell = self._tell if seat.draws else None
        RankFollower(executor, self._receiver, tell=tell).run()

    def meet(self) -> Seat:
        """Our place among the ranks, once all have come."""
        settings = self._settings
        assert settings.store_path is not None, "ranks of one machine meet at a file"
        return take_seat(self._config, self._layout, settings.rank, settings.store_path)

    def _come_to(self, phase: Phase, num_pages: int, weights_bytes: int = 0) -> int:
        """Say how far we are and wait for the others; the number of pages that fits all."""
        self._tell(RankAt(phase, num_pages, weights_bytes))
        message = decode_to_rank(self._receiver.receive())
        if not isinstance(message, Proceed):
            raise EOFError("the leader gave up")
        return message.num_pages

    def _tell(self, message: FromRank) -> None:
        self._leader.sendall(encode(message))

    def _fail(self, message: str, code: int) -> int:
        with contextlib.suppress(OSError):
            self._tell(RankFault(message[:MAX_MESSAGE_CHARACTERS], code == EXIT_BAD_CONFIG))
        return code
