"""The process in which parts run, one after the other, until one of them fails.

    python -m sglite.bench.gpu_suite.worker '{"out": ..., "parts": {"machine": 45.0}, ...}'

A fault of a part is not caught: it may have broken the device for whatever follows. The parent sees
how this process ended and starts another for the rest.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from sglite.bench.gpu_suite.results import DONE, Recorder
from sglite.bench.gpu_suite.sizes import FULL, TOY
from sglite.bench.gpu_suite.suite import LeftOutError, Suite

MARGIN_S = 5.0
"""A part stops measuring so many seconds before the parent would stop it."""


def main(words: list[str]) -> int:
    """Run the parts that the one argument names."""
    run_parts(json.loads(words[0]))
    return 0


def run_parts(order: dict[str, Any]) -> None:
    """``order``: out, is_dry_run, ends_at_s, parts with the seconds of each."""
    out, is_dry_run = Path(order["out"]), order["is_dry_run"]
    device = torch.device("cpu" if is_dry_run else "cuda")
    if is_dry_run:
        torch.set_num_threads(1)  # what is to be computed is not worth a second one
    suite: Suite | None = None
    for name, budget_s in order["parts"].items():
        ends_at_s = min(time.time() + budget_s, order["ends_at_s"]) - MARGIN_S
        recorder = Recorder(out, name)
        if suite is None:
            suite = Suite(out, TOY if is_dry_run else FULL, device, ends_at_s, recorder)
        suite.recorder, suite.ends_at_s = recorder, ends_at_s
        run_part(suite, name)
    if suite is not None:
        suite.close_runner()


def run_part(suite: Suite, name: str) -> None:
    """One part; what it cannot do here is its status."""
    module = importlib.import_module(f"sglite.bench.gpu_suite.parts.{name}")
    try:
        module.run(suite)
    except LeftOutError as reason:
        suite.recorder.end(f"left out: {reason}")
        return
    suite.recorder.end(DONE)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
