"""Starts the engine's process, watches it, ends it, and leaves nothing of it behind.

    launcher = EngineLauncher(config)
    client = await launcher.start()          # at once; the model loads meanwhile
    ready = await launcher.wait_ready(600)
    ...
    await launcher.stop(grace_s=5)

The process ends with ours, however ours ends: it holds the other end of a pipe. If its loop stands
still for longer than ``watchdog_timeout_s``, it is made to log its stacks and killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Coroutine
from typing import Any

import msgspec

from sglite.config import EngineConfig
from sglite.errors import ConfigError, EngineDeadError
from sglite.host.share import WHOLE_MACHINE, HostShare
from sglite.ipc.engine_settings import EXIT_BAD_CONFIG, STOP_WORD, EngineSettings
from sglite.ipc.messages import Ready
from sglite.ipc.private_directory import (
    listen_in,
    make_private_directory,
    remove_private_directory,
    socket_path,
)
from sglite.ipc.process_client import ProcessClient
from sglite.ipc.spawning import spawn

logger = logging.getLogger(__name__)

MODULE = "sglite.ipc.engine_process"
DUMP_S = 0.5
"""What a process that stands still has to write its main thread's stack, then all others."""
LAST_WORDS_S = 0.5
"""What its last message may take, after the process has ended."""
FATAL_GRACE_S = 5.0
"""What a process that has said its last word may take to end."""
KILL_S = 10.0
"""What a killed process may take to vanish; only a broken kernel needs longer."""


class EngineLauncher:
    """One engine in a process of its own, on ``host``, its part of this machine.

    ``client`` is there after :meth:`start`. ``publishes_digest``: the engine tells what it has
    cached (``client.on_digest``). ``clock_offset_s``: what our monotonic clock is ahead of that of
    whoever sends requests. ``exit_code`` is that of the ended process, negative for a signal.
    """

    def __init__(
        self,
        config: EngineConfig,
        *,
        host: HostShare = WHOLE_MACHINE,
        watchdog_timeout_s: float = 60.0,
        heartbeat_s: float = 0.5,
        publishes_digest: bool = False,
        clock_offset_s: float = 0.0,
    ) -> None:
        self.client: ProcessClient | None = None
        self.exit_code: int | None = None
        self._config = config
        self._host = host
        self._watchdog_timeout_s = watchdog_timeout_s
        self._heartbeat_s = heartbeat_s
        self._publishes_digest = publishes_digest
        self._clock_offset_s = clock_offset_s
        self._directory: str | None = None
        self._death_fd: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    @property
    def path(self) -> str | None:
        """Where further API processes connect; None before the start and after the end."""
        return None if self._directory is None else socket_path(self._directory)

    @property
    def paths(self) -> dict[int, str]:
        """:attr:`path` by the engine's number, as ``EngineFleet`` has it."""
        return {} if self.path is None else {0: self.path}

    @property
    def pid(self) -> int | None:
        """The process; None before the start."""
        return None if self._process is None else self._process.pid

    async def start(self) -> ProcessClient:
        """Start the process, which begins to load; returns the client, connected.

        Raises ConfigError where no socket can be made, EngineDeadError where no process can.
        """
        self._directory = make_private_directory()
        try:
            with listen_in(self._directory) as listener:
                # Before there is a process: nothing that it ever says can be missed.
                self.client = await ProcessClient.connect(socket_path(self._directory))
                self._spawn(listener.fileno())
        except BaseException:
            await self.stop(0.0)
            raise
        self._keep(self._watch())
        self.client.on_death(self._bury)
        return self.client

    async def wait_ready(self, timeout_s: float | None = None) -> Ready:
        """What the engine is, once it is.

        Raises ConfigError where it cannot be made from these options or this model,
        EngineDeadError where it fails or takes longer than ``timeout_s``.
        """
        if self.client is None:
            raise EngineDeadError("the engine has not been started")
        try:
            return await asyncio.wait_for(self.client.wait_ready(), timeout_s)
        except asyncio.TimeoutError:
            message = f"the engine was not ready after {timeout_s:g} s"
            raise EngineDeadError(message) from None
        except EngineDeadError as error:
            await self._wait_for_end(FATAL_GRACE_S)
            if self.exit_code == EXIT_BAD_CONFIG:
                raise ConfigError(str(error)) from None
            raise

    async def stop(self, grace_s: float) -> int | None:
        """End the process, by force after ``grace_s``; what is open is aborted. Safe to repeat.

        Returns its exit code, None where there was no process.
        """
        self._is_stopping = True
        if self._death_fd is not None and grace_s > 0:
            with contextlib.suppress(OSError):
                os.write(self._death_fd, STOP_WORD)
            await self._wait_for_end(grace_s)
        self._kill()
        await self._wait_for_end(KILL_S)
        for task in self._tasks:
            task.cancel()
        if self.client is not None:
            self.client.declare_dead("the engine was stopped")
        self._clean_up()
        return self.exit_code

    # -- the process -------------------------------------------------------------------------------

    def _spawn(self, listen_fd: int) -> None:
        parent_end, self._death_fd = os.pipe()
        settings = EngineSettings(
            config=self._config.to_dict(),
            host=dataclasses.astuple(self._host),
            listen_fd=listen_fd,
            death_fd=parent_end,
            directory=self._directory or "",
            spawned_s=time.monotonic(),
            heartbeat_s=self._heartbeat_s,
            publishes_digest=self._publishes_digest,
            clock_offset_s=self._clock_offset_s,
        )
        try:
            self._process = _start_process(settings)
        except OSError as error:
            raise EngineDeadError(f"the engine's process cannot be started: {error}") from error
        finally:
            os.close(parent_end)
        loop = asyncio.get_running_loop()
        threading.Thread(
            target=self._wait_for_process, args=(self._process, loop), name="engine-exit",
            daemon=True,
        ).start()  # fmt: skip

    def _wait_for_process(
        self, process: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop
    ) -> None:
        """Runs in a thread of its own."""
        code = process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know
            loop.call_soon_threadsafe(self._take_exit, code)

    def _take_exit(self, code: int) -> None:
        self.exit_code = code
        self._ended.set()
        level = logging.INFO if self._is_stopping else logging.ERROR
        logger.log(level, "engine_process_ended", extra={"fields": {"exit_code": code}})
        client = self.client
        if client is not None and client.is_alive:
            reason = f"the engine's process has ended with code {code}"
            client.died.get_loop().call_later(LAST_WORDS_S, client.declare_dead, reason)

    async def _wait_for_end(self, timeout_s: float) -> None:
        if self._process is None:
            return
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._ended.wait(), timeout_s)

    def _kill(self) -> None:
        if self._process is not None and not self._ended.is_set():
            self._process.kill()

    def _clean_up(self) -> None:
        if self._death_fd is not None:
            os.close(self._death_fd)
            self._death_fd = None
        if self._directory is not None:
            remove_private_directory(self._directory)
            self._directory = None

    # -- watching ----------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Look at the heartbeat until the engine is dead or stands still."""
        client, timeout_s = self.client, self._watchdog_timeout_s
        interval_s = min(1.0, timeout_s / 4)
        while client is not None and client.is_alive:
            before_s = time.monotonic()
            await asyncio.sleep(interval_s)
            # If our own loop stood still, heartbeats lie unread: look again in a moment.
            was_late = time.monotonic() - before_s > 2 * interval_s
            if client.heartbeat_age_s > timeout_s and not was_late and not self._is_stopping:
                await self._end_hung(client)

    async def _end_hung(self, client: ProcessClient) -> None:
        age_s = round(client.heartbeat_age_s, 1)
        fields = {"pid": self.pid, "age_s": age_s, "limit_s": self._watchdog_timeout_s}
        logger.critical("engine_hangs", extra={"fields": fields})
        client.declare_dead(f"the engine's loop has not turned for {age_s} s")

    def _bury(self, reason: str) -> None:
        """The engine is dead to us: see to it that its process is dead as well."""
        if not self._is_stopping:
            self._keep(self._end_process())

    async def _end_process(self) -> None:
        grace_s = FATAL_GRACE_S if self._is_heard_of() else 0.0
        await self._wait_for_end(grace_s)
        if self._process is None or self._ended.is_set():
            return
        # Its stacks go to the log; a stopped process has to be woken for that, and first: only then
        # does the main thread take the signals. Its own stack comes alone, because writing those of
        # threads that run meanwhile may end the process.
        self._process.send_signal(signal.SIGCONT)
        for dump in (signal.SIGUSR1, signal.SIGUSR2):
            self._process.send_signal(dump)
            await self._wait_for_end(DUMP_S)
        self._kill()

    def _is_heard_of(self) -> bool:
        client = self.client
        return client is not None and client.heartbeat_age_s <= self._watchdog_timeout_s

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _start_process(settings: EngineSettings) -> subprocess.Popen[bytes]:
    process = spawn(MODULE, stdin=subprocess.PIPE, pass_fds=(settings.listen_fd, settings.death_fd))
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(msgspec.json.encode(settings))
    return process
