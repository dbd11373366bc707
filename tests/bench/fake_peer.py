"""A peer without an engine. Its model's name says what goes wrong; see ``Peer``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path


class Peer:
    """``model``: ``ok``; ``refuse`` fails to load, ``die`` ends and ``hang`` hangs in a batch,
    ``short`` leaves out a token. ``journal`` is a file that gets a line for every call.
    """

    version = "fake 1"

    def __init__(self, model, *, journal=None, pause_s=0.0, label="fake", **options):
        self._model, self._journal, self._label = model, journal, label
        self._pause_s = pause_s
        print("a library prints this on loading", options)
        self._note("load", options)
        if model == "refuse":
            raise ValueError("no such\nmodel")
        if model == "child":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            self._note("child", child.pid)

    def batch(self, requests):
        self._note("batch", [[len(prompt), count] for prompt, count in requests])
        if self._model == "die":
            print("out of luck", file=sys.stderr, flush=True)
            os._exit(3)
        if self._model == "hang":
            time.sleep(600)
        if self._model == "short":
            return [[1] * (count - 1) for _, count in requests]
        time.sleep(self._pause_s)
        return [[prompt[-1]] * count for prompt, count in requests]

    def stream(self, prompt, count):
        self._note("stream", [len(prompt), count])
        return 0.25, 0.25 + 0.5 * (count - 1), [7] * count

    def close(self):
        self._note("close", None)

    def _note(self, what, value):
        if self._journal is not None:
            with Path(self._journal).open("a") as journal:
                journal.write(json.dumps([self._label, what, value]) + "\n")


def read_journal(path):
    """``[label, what, value]`` of every call so far."""
    return [json.loads(line) for line in Path(path).read_text().splitlines()]
