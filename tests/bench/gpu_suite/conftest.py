"""A suite of toy sizes on the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from sglite.bench.gpu_suite.results import Recorder
from sglite.bench.gpu_suite.sizes import TOY
from sglite.bench.gpu_suite.suite import Suite


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the worker of a dry run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_suite(tmp_path: Path) -> Iterator[Callable[[str], Suite]]:
    """Makes the suite that a part of a name is handed; its engine ends with the test."""
    made: list[Suite] = []

    def make(name: str) -> Suite:
        recorder = Recorder(tmp_path, name)
        device = torch.device("cpu")
        made.append(Suite(tmp_path, TOY, device, time.time() + 600, recorder))
        return made[-1]

    yield make
    for suite in made:
        suite.close_runner()
