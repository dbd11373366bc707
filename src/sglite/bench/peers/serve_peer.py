"""Puts a peer behind a pipe: ``PYTHON serve_peer.py ADAPTER.py``.

One JSON object per line on standard input, one per line as the answer on standard output:

    {"do": "load", "model": ..., "options": {...}}      -> {"version": ..., "seconds": ...}
    {"do": "batch", "requests": [[ids, count], ...]}    -> {"seconds": ..., "outputs": [[...], ...]}
    {"do": "stream", "prompt": ids, "count": n}         -> the same, and "first_s"
    {"do": "close"}                                     -> {}

What fails is answered by {"error": ...}; the end of standard input ends the process. What the
engine prints goes to standard error. Runs in the peer's environment: the standard library alone.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Message = dict[str, Any]


class PeerLoop:
    """Does what the lines say with a ``Peer`` that the first of them loads."""

    def __init__(self, make_peer: Callable[..., Any]) -> None:
        self._make_peer = make_peer
        self._peer: Any = None

    def answer(self, message: Message) -> Message:
        """Do one thing and say what came of it."""
        start_s = time.perf_counter()
        done: Message = getattr(self, f"_{message.pop('do')}")(**message)
        return {"seconds": time.perf_counter() - start_s} | done

    def close(self) -> None:
        """End the engine; safe to repeat."""
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.close()

    def _load(self, model: str | None, options: dict[str, Any]) -> Message:
        self._peer = self._make_peer(model, **options)
        return {"version": self._peer.version}

    def _batch(self, requests: list[tuple[list[int], int]]) -> Message:
        start_s = time.perf_counter()
        outputs = self._peer.batch(requests)
        seconds = time.perf_counter() - start_s
        return {"seconds": seconds, "outputs": [list(map(int, each)) for each in outputs]}

    def _stream(self, prompt: list[int], count: int) -> Message:
        first_s, seconds, output = self._peer.stream(prompt, count)
        return {"first_s": first_s, "seconds": seconds, "outputs": [list(map(int, output))]}

    def _close(self) -> Message:
        self.close()
        return {}


def load_adapter(path: Path) -> Callable[..., Any]:
    """The class ``Peer`` of a file. It may be called as the engine that it imports."""
    spec = importlib.util.spec_from_file_location(f"peer_{path.stem}", path)
    assert spec is not None and spec.loader is not None, f"{path} is no Python file"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    made: Callable[..., Any] = module.Peer
    return made


def take_standard_output() -> Any:
    """Standard output for our answers alone; what a library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def serve(adapter: Path) -> None:
    """Answer until we are told to close, or the one who asks is gone."""
    answers = take_standard_output()
    loop: PeerLoop | None = None
    try:
        for line in sys.stdin:
            message = json.loads(line)
            is_last = message["do"] == "close"
            try:
                loop = loop or PeerLoop(load_adapter(adapter))
                answer = loop.answer(message)
            except Exception as error:  # noqa: BLE001 - the border: whatever it is, it is told
                answer = {"error": f"{type(error).__name__}: {error}"}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
            if is_last:
                break
    finally:
        if loop is not None:
            loop.close()


def main() -> None:
    """Serve the adapter that the command line names."""
    # Its folder holds adapters that are called as the packages that they import.
    folder = str(Path(__file__).resolve().parent)
    sys.path[:] = [entry for entry in sys.path if str(Path(entry).resolve()) != folder]
    serve(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
