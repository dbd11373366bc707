"""The engine's process: ``python -m sglite.ipc.engine_process`` with EngineSettings on stdin.

It ends with 0 when told to stop, 1 after a fault and 2 where options or model are bad; it ends at
once, and leaves nothing, when its parent is gone. Its log goes to standard error.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, NoReturn

import msgspec

from sglite.config import EngineConfig
from sglite.config_sources import set_default_environment
from sglite.errors import ConfigError, ModelLoadError
from sglite.host.share import HostShare
from sglite.ipc.engine_server import EngineServer
from sglite.ipc.engine_settings import (
    EXIT_BAD_CONFIG,
    EXIT_FAULT,
    EXIT_STOPPED,
    STOP_WORD,
    EngineSettings,
)
from sglite.ipc.messages import PROTOCOL_VERSION, Ready
from sglite.ipc.operations import EngineSide
from sglite.ipc.private_directory import remove_private_directory
from sglite.ipc.profiling import StepProfiler
from sglite.ipc.tree_digest import TreeDigest
from sglite.ipc.warm_up import warm_up

if TYPE_CHECKING:
    from sglite.startup import Started

logger = logging.getLogger(__name__)

FEW_CORES = 4
MAX_MESSAGE_CHARACTERS = 2000


def main() -> NoReturn:
    """Run an engine until it is stopped, fails, or the parent is gone."""
    # Ctrl-C and a supervisor's SIGTERM reach the whole group; only the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=False)
    faulthandler.register(signal.SIGUSR2, all_threads=True)
    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=EngineSettings)
    _end(EngineProcess(settings).run())


class EngineProcess:
    """One engine, its server, and the parent that is watched."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._server = EngineServer(
            socket.socket(fileno=settings.listen_fd),
            heartbeat_s=settings.heartbeat_s,
            clock_offset_s=settings.clock_offset_s,
        )
        self._started: Started | None = None

    def run(self) -> int:
        """The exit code, once everybody has been told."""
        threading.Thread(target=self._watch_parent, name="parent-watch", daemon=True).start()
        self._server.start()
        try:
            self._start()
        except (ConfigError, ModelLoadError) as error:
            return self._fail(str(error), EXIT_BAD_CONFIG)
        except Exception as error:
            logger.critical("engine_start_failed", exc_info=error)
            return self._fail(f"the engine failed to start: {error}", EXIT_FAULT)
        fault = None if self._started is None else self._started.client.wait_until_stopped()
        if fault is not None:
            return self._fail(f"the engine has stopped: {fault}", EXIT_FAULT)
        self._server.close()
        return EXIT_STOPPED

    def _start(self) -> None:
        host = HostShare(*self._settings.host)
        keep_threads_from_spinning(num_usable_cores() // host.count)
        from sglite.startup import start_engine

        started = start_engine(EngineConfig(**self._settings.config), host)
        warm_up(started.client)
        self._started = started
        side = started.client.call(lambda engine: EngineSide(engine, StepProfiler(started.events)))
        ready = _describe(started, time.monotonic() - self._settings.spawned_s)
        digest = None
        if self._settings.publishes_digest:
            digest = started.client.call(lambda engine: TreeDigest(engine.schedulers[0].cache))
        self._server.serve(started.client, started.limits, side, ready, digest=digest)

    def _fail(self, message: str, code: int) -> int:
        self._server.fail(message[:MAX_MESSAGE_CHARACTERS])
        self._server.close()
        return code

    def _watch_parent(self) -> None:
        """Obey the parent's word to stop, and end with it."""
        while os.read(self._settings.death_fd, 1) == STOP_WORD:
            if self._started is None:
                _end(EXIT_STOPPED)
            threading.Thread(target=self._started.client.close, daemon=True).start()
        remove_private_directory(self._settings.directory)
        os._exit(EXIT_FAULT)


def num_usable_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def keep_threads_from_spinning(num_cores: int) -> None:
    """Where cores are few, let compute threads sleep while they wait. Before torch is loaded.

    By default they spin for milliseconds after every operation, and so take a core from the HTTP
    process at the very moment when it has tokens to send.
    """
    if num_cores <= FEW_CORES:
        set_default_environment(OMP_WAIT_POLICY="passive")


def _describe(started: Started, startup_s: float) -> Ready:
    limits = started.limits
    return Ready(
        protocol_version=PROTOCOL_VERSION,
        pid=os.getpid(),
        config=started.config.to_dict(),
        context_length=limits.context_length,
        pool_tokens=limits.pool_tokens,
        vocab_size=limits.vocab_size,
        model_context_length=started.spec.context_length,
        eos_token_ids=sorted(limits.eos_token_ids),
        startup_s=startup_s,
    )


def _end(code: int) -> NoReturn:
    """Leave at once: threads of libraries must not delay the end, nor crash it."""
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
