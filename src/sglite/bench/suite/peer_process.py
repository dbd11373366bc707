"""An engine in a process of its own, from its own environment, spoken to in JSON lines.

It waits for the next line while others are timed. It has a session of its own, so that what it
starts ends with it, and Ctrl-C is for us to pass on.
"""

from __future__ import annotations

import io
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from sglite.bench.suite.engine import Answers
from sglite.bench.suite.workloads import Ask
from sglite.errors import RemoteError

PEERS = Path(__file__).resolve().parent.parent / "peers"
LOOP = PEERS / "serve_peer.py"

CLOSE_TIMEOUT_S = 30.0
LEAVE_S = 0.5
"""For one that has said its last word, so that its exit code is its own."""
READ_BYTES = 1 << 16
LOG_TAIL_BYTES = 400
MAX_REASON = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCommand:
    """How to start a peer. ``python`` is a command line. What it prints is added to ``log``, or
    kept until it has ended.
    """

    python: tuple[str, ...]
    adapter: Path
    log: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def words(self) -> list[str]:
        """The command line, with its environment in front."""
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        prefix = ["env", *settings] if settings else []
        return [*prefix, *self.python, str(LOOP), str(self.adapter)]


class PeerProcess:
    """One peer with one model; see BenchEngine. After a failure it has ended and can be loaded
    again.
    """

    def __init__(
        self,
        command: PeerCommand,
        model: str | None,
        options: Mapping[str, Any],
        *,
        load_timeout_s: float,
        timeout_s: float,
    ) -> None:
        self._command = command
        self._load = {"model": model, "options": dict(options)}
        self._load_timeout_s = load_timeout_s
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] = io.BytesIO()
        self._pending = b""
        self.version = ""

    def load(self) -> float:
        """Start the process and load the model; the seconds of the latter. Raises RemoteError."""
        self.close()
        path = self._command.log
        self._log.close()
        # Open as long as the process: its last words are read from it.
        self._log = tempfile.TemporaryFile() if path is None else path.open("a+b")  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                self._command.words(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                start_new_session=True,
            )
        except OSError as error:
            raise RemoteError(f"cannot be started: {error}") from error
        answer = self._ask({"do": "load", **self._load}, self._load_timeout_s)
        self.version = str(answer.get("version", "unknown"))
        return float(answer["seconds"])

    def batch(self, asks: Sequence[Ask]) -> Answers:
        """Answer all of them together. Raises RemoteError."""
        answer = self._ask({"do": "batch", "requests": asks}, self._timeout_s)
        return Answers(answer["outputs"], float(answer["seconds"]))

    def stream(self, ask: Ask) -> Answers:
        """Answer one, and take the time of its first token. Raises RemoteError."""
        message = {"do": "stream", "prompt": ask.token_ids, "count": ask.num_new_tokens}
        answer = self._ask(message, self._timeout_s)
        return Answers(answer["outputs"], float(answer["seconds"]), float(answer["first_s"]))

    def close(self) -> None:
        """Ask it to end, and end it and all that it started; safe to repeat."""
        if self._process is not None:
            with suppress(RemoteError):
                self._ask({"do": "close"}, CLOSE_TIMEOUT_S)
            self._kill()
        self._log.close()

    def _ask(self, message: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """Send a message and wait for its answer. Raises RemoteError; the process is gone then."""
        end_s = time.monotonic() + timeout_s
        try:
            self._write(json.dumps(message).encode() + b"\n", end_s)
            answer = read_object(self._read_line(end_s))
        except TimeoutError:
            self._kill()
            raise RemoteError(f"no answer within {timeout_s:g} s") from None
        except (OSError, EOFError, ValueError) as error:
            raise RemoteError(self._last_words(error)) from error
        except BaseException:
            self._kill()  # Ctrl-C while it works: its answer would come in the place of another
            raise
        if "error" in answer:
            self._kill()
            raise RemoteError(" ".join(str(answer["error"])[:MAX_REASON].split()))
        return answer

    def _write(self, data: bytes, end_s: float) -> None:
        """One that does not read must not hold us up: a message may be larger than the pipe."""
        assert self._process is not None and self._process.stdin is not None, "load() comes first"
        descriptor = self._process.stdin.fileno()
        os.set_blocking(descriptor, False)
        while data:
            left_s = max(0.0, end_s - time.monotonic())
            if not select.select([], [descriptor], [], left_s)[1]:
                raise TimeoutError
            data = data[os.write(descriptor, data) :]

    def _read_line(self, end_s: float) -> bytes:
        assert self._process is not None and self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._pending:
            left_s = max(0.0, end_s - time.monotonic())
            if not select.select([descriptor], [], [], left_s)[0]:
                raise TimeoutError
            chunk = os.read(descriptor, READ_BYTES)
            if not chunk:
                raise EOFError("it ended")
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _last_words(self, error: Exception) -> str:
        """Why there is no answer, as far as exit code and log say. Ends the process."""
        code = self._kill()
        if isinstance(error, ValueError):
            return f"its answer is no JSON object: {error}"
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
        said = self._log.read().decode(errors="replace")
        return f"ended with code {code}; its last words: {' '.join(said.split()) or 'none'}"

    def _kill(self) -> int | None:
        """End its whole session; its exit code."""
        process, self._process = self._process, None
        self._pending = b""
        if process is None:
            return None
        with suppress(subprocess.TimeoutExpired):
            process.wait(LEAVE_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        return process.wait()


def read_object(line: bytes) -> dict[str, Any]:
    """The JSON object of a line. Raises ValueError."""
    found = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError(f"{line[:80]!r}")
    return found
