"""llama.cpp: its ``llama-server`` as a child, asked over HTTP with token ids.

The model is a GGUF file; for a directory ``DIR`` it is ``DIR.bf16.gguf`` beside it (or another
``dtype``). Any Python runs this file.
"""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

START_TIMEOUT_S = 300.0
ANSWER_TIMEOUT_S = 3600.0
POLL_S = 0.02
HEADERS = {"Content-Type": "application/json"}


class Peer:
    """``server`` is the program, ``slots`` how many requests it runs together; they share the
    ``context``. ``flags`` are more of its command line.
    """

    def __init__(
        self,
        model: str,
        *,
        server: str = "llama-server",
        dtype: str = "bfloat16",
        threads: int = 2,
        slots: int = 32,
        context: int = 32768,
        flags: str = "--no-kv-unified",
    ) -> None:
        program = shutil.which(server)
        if program is None:
            raise FileNotFoundError(f"{server}: no such program; say where it is: server=PATH")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port = int(listener.getsockname()[1])
        words = ["-m", gguf_file(model, dtype), "-t", threads, "-tb", threads, "-c", context]
        words += ["-np", slots, "--port", self._port, "--host", "127.0.0.1", *flags.split()]
        self._process = subprocess.Popen(
            [program, *map(str, words)], stdin=subprocess.DEVNULL, stdout=sys.stderr
        )
        self._slots = slots
        self._wait()
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        lines = (said.stderr + said.stdout).strip().splitlines()
        self.version = f"llama.cpp {lines[0] if lines else 'of unknown version'}"

    def batch(self, requests: list[tuple[list[int], int]]) -> list[list[int]]:
        """The greedy tokens of each ``(prompt, number of new tokens)``."""
        with ThreadPoolExecutor(max(1, len(requests))) as pool:
            return list(pool.map(lambda request: self._complete(*request), requests))

    def stream(self, prompt: list[int], count: int) -> tuple[float, float, list[int]]:
        """Seconds to the first token, seconds in all, and the tokens."""
        start_s = time.perf_counter()
        first_s: float | None = None
        output: list[int] = []
        connection = self._post(prompt, count, is_streamed=True)
        response = connection.getresponse()
        while line := response.readline():
            if not line.startswith(b"data: "):
                continue
            event = json.loads(line[6:])
            if first_s is None:
                first_s = time.perf_counter() - start_s
            output += event.get("tokens", [])
            if event.get("stop"):
                output = _as_counted(output, event)
                break
        seconds = time.perf_counter() - start_s
        connection.close()
        return first_s or 0.0, seconds, output

    def close(self) -> None:
        """End the server."""
        self._process.terminate()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _complete(self, prompt: list[int], count: int) -> list[int]:
        connection = self._post(prompt, count, is_streamed=False)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        if "error" in answer:
            raise RuntimeError(f"llama-server: {answer['error']}")
        return _as_counted(answer.get("tokens", []), answer)

    def _post(self, prompt: list[int], count: int, *, is_streamed: bool) -> Any:
        body = {
            "prompt": prompt,
            "n_predict": count,
            "ignore_eos": True,
            "temperature": 0.0,
            "top_k": 1,
            "samplers": ["top_k"],
            "stream": is_streamed,
            "return_tokens": True,
            "cache_prompt": True,
        }
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_TIMEOUT_S)
        connection.request("POST", "/completion", json.dumps(body), HEADERS)
        return connection

    def _wait(self) -> None:
        """Return when the server is ready. Raises RuntimeError where it ends or takes too long."""
        end_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end_s:
            if self._process.poll() is not None:
                raise RuntimeError(f"llama-server ended with code {self._process.returncode}")
            if self._is_ready():
                return
            time.sleep(POLL_S)
        self.close()
        raise RuntimeError(f"llama-server was not ready within {START_TIMEOUT_S:g} s")

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5.0)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def gguf_file(model: str, dtype: str) -> str:
    """The file for a model directory; a file is itself."""
    if model.endswith(".gguf"):
        return model
    short = {"bfloat16": "bf16", "float16": "f16", "float32": "f32"}.get(dtype, dtype)
    return f"{model.rstrip('/')}.{short}.gguf"


def _as_counted(tokens: list[int], answer: dict[str, Any]) -> list[int]:
    """``tokens``; where the server counted others than it sent, the number is its own count.

    The length is all that is checked, and its stream leaves out what is no whole letter yet.
    """
    count = int(answer.get("tokens_predicted", len(tokens)))
    return (tokens + [0] * count)[:count]
