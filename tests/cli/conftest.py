from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from sglite.config import EngineConfig
from sglite.config_resolve import resolve
from sglite.hardware import HardwareFacts
from tests.cli.fakes import FakeLLM


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> FakeLLM:
    """The engine that every command gets; its config is the command's."""
    fake = FakeLLM()

    def make_llm(model: str | None, options: dict[str, object]) -> FakeLLM:
        fake.config = resolve(EngineConfig(model_path=model, **options), HardwareFacts())
        return fake

    monkeypatch.setattr("sglite.cli.engine.make_llm", make_llm)
    return fake


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a text the standard input, which is no terminal then."""

    def give(text: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))

    return give
