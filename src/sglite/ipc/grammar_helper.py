"""The parent's side of a process that vets grammars; it is ended where one takes too long (R13).

helper = GrammarHelper()
helper.start(setup)
vetted = helper.vet(spec, limit_s=3.0)
helper.close()
"""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from typing import Any

import msgspec

from sglite.ipc.frames import HEADER_BYTES, encode
from sglite.ipc.grammar_messages import GrammarSetup, Vet, Vetted
from sglite.ipc.spawning import spawn
from sglite.request import GrammarSpec

MODULE = "sglite.ipc.grammar_process"
START_TIMEOUT_S = 30.0
OWN_CLOCK_S = 1.0
"""How much later the process would end by itself."""


class HelperLateError(Exception):
    """The process took too long and was ended."""


class HelperDiedError(Exception):
    """The process ended while it was asked; ``exit_code`` is negative for a signal."""

    def __init__(self, exit_code: int | None) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code

    @property
    def was_killed(self) -> bool:
        """True where it did not end by itself; nothing that a grammar does kills it."""
        return self.exit_code in (None, -signal.SIGKILL)


class GrammarHelper:
    """A process, started when there is none. Belongs to one thread, but for :meth:`close`."""

    def __init__(self, *, module: str = MODULE) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._is_ready = False
        self._is_closed = False
        self._decoder = msgspec.msgpack.Decoder(Vetted)

    @property
    def pid(self) -> int | None:
        """The process, None where none runs."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def start(self, setup: GrammarSetup) -> None:
        """Start a process where none runs, without waiting until it is ready.

        Raises OSError where that fails, HelperDiedError once closed.
        """
        if self.pid is not None:
            return
        self.end()
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            self._socket, self._is_ready = ours, False
            if self._is_closed:
                raise HelperDiedError(None)
            self._process = spawn(self._module, stdin=theirs.fileno())
        self._send(setup, time.monotonic() + START_TIMEOUT_S)

    def vet(self, spec: GrammarSpec, *, limit_s: float) -> Vetted:
        """What the process finds out about ``spec``, in ``limit_s`` from when it is ready.

        Raises HelperLateError and HelperDiedError, and OSError where it does not become ready;
        then there is no process until the next :meth:`start`.
        """
        self._wait_until_ready()
        deadline_s = time.monotonic() + limit_s
        self._send(Vet(spec, limit_s + OWN_CLOCK_S), deadline_s)
        return self._receive(deadline_s)

    def end(self) -> int | None:
        """End the process that is there; its exit code."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is None:
            return None
        self._process.kill()
        return self._process.wait()

    def close(self) -> None:
        """End the process; there will be no other. From any thread; safe to repeat."""
        with self._lock:
            self._is_closed = True
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def _wait_until_ready(self) -> None:
        if self._is_ready:
            return
        try:
            self._receive(time.monotonic() + START_TIMEOUT_S)
        except (HelperLateError, HelperDiedError) as error:
            raise OSError("the process for grammars did not start") from error
        self._is_ready = True

    def _send(self, message: Any, deadline_s: float) -> None:
        try:
            self._until(deadline_s).sendall(encode(message))
        except TimeoutError:
            self.end()
            raise HelperLateError from None
        except (BrokenPipeError, ConnectionResetError):
            raise HelperDiedError(self.end()) from None

    def _receive(self, deadline_s: float) -> Vetted:
        header = self._read(HEADER_BYTES, deadline_s)
        return self._decoder.decode(self._read(int.from_bytes(header, "big"), deadline_s))

    def _read(self, num_bytes: int, deadline_s: float) -> bytes:
        data = b""
        while len(data) < num_bytes:
            try:
                part = self._until(deadline_s).recv(num_bytes - len(data))
            except TimeoutError:
                self.end()
                raise HelperLateError from None
            except ConnectionResetError:
                part = b""
            if not part:
                raise HelperDiedError(self.end())
            data += part
        return data

    def _until(self, deadline_s: float) -> socket.socket:
        """The socket, which will raise TimeoutError from then on."""
        assert self._socket is not None, "the process was not started"
        self._socket.settimeout(max(1e-3, deadline_s - time.monotonic()))
        return self._socket
