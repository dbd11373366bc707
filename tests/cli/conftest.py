from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator

import pytest

from sglite.config import EngineConfig
from tests.cli.fakes import FakeLLM


@pytest.fixture(autouse=True)
def log_setup_is_undone() -> Iterator[None]:
    logger = logging.getLogger("sglite")
    before = (list(logger.handlers), logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> FakeLLM:
    """The engine that every command gets; its config is the command's."""
    fake = FakeLLM()

    def make_llm(model: str | None, options: dict[str, object]) -> FakeLLM:
        fake.config = EngineConfig(model_path=model, **options)
        return fake

    monkeypatch.setattr("sglite.cli.engine.make_llm", make_llm)
    return fake


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a text the standard input, which is no terminal then."""

    def give(text: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))

    return give
