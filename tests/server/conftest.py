from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def log_setup_is_undone() -> Iterator[None]:
    """Starting the server in the tests' process sets up the log; later tests read it."""
    logger = logging.getLogger("sglite")
    before = (list(logger.handlers), logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])
