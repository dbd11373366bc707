"""What every test can rely on: fixed seeds, one thread per worker, no network, no stray options."""

from __future__ import annotations

import logging
import os
import random
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

LOOPBACK = ("127.", "::1", "localhost")

# Set before anything imports torch. With two workers on two cores, two threads each only wait.
THREADS = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
os.environ.update(
    OMP_NUM_THREADS=THREADS,
    MKL_NUM_THREADS=THREADS,
    TOKENIZERS_PARALLELISM="false",
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
)
# Triton reads it when it is imported, and anything may do that.
if not Path("/dev/nvidiactl").exists():
    os.environ["TRITON_INTERPRET"] = "1"
for name in [name for name in os.environ if name.startswith("SGLITE_")]:
    del os.environ[name]

# The same examples in every run, and no verdict that depends on how busy the machine is.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked ``gpu`` where there is none; torch is asked only if there are any."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    """Every test draws the same numbers, whichever ran before it."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def log_setup_is_undone() -> Iterator[None]:
    """A command that ran inside a test leaves no handlers and levels behind."""
    logger = logging.getLogger("sglite")
    before = (list(logger.handlers), logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """A test that reaches beyond this machine fails, and says where it wanted to go."""
    connect = socket.socket.connect

    def connect_locally(self: socket.socket, address: object) -> None:
        is_inet = self.family in (socket.AF_INET, socket.AF_INET6)
        if is_inet and not str(address[0]).startswith(LOOPBACK):  # type: ignore[index]
            raise AssertionError(f"a test tried to connect to {address}")
        connect(self, address)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_locally)
        yield
