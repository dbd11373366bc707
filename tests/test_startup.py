from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sglite.config import EngineConfig
from sglite.errors import ConfigError, ModelLoadError
from sglite.ipc.client import InProcessClient
from sglite.request import OutputBatch, Request, SamplingParams
from sglite.startup import Started, _checkers, start_engine
from tests.cli.real_model import make_tiny_model


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def no_engine_is_left() -> Iterator[None]:
    yield
    assert "engine" not in {thread.name for thread in threading.enumerate()}


def start(model_path: str, **options: object) -> Started:
    return start_engine(EngineConfig(model_path=model_path, max_total_tokens=2048, **options))


def run_one(started: Started) -> None:
    """Generate two tokens, text or not."""
    ended = threading.Event()

    def deliver(outputs: OutputBatch) -> None:
        if outputs.finished:
            ended.set()

    request = Request(
        request_id="r", prompt_token_ids=[1, 2, 3], sampling=SamplingParams(temperature=0.0),
        max_new_tokens=2,
    )  # fmt: skip
    started.client.submit([request], deliver, lambda *_: ended.set())
    assert ended.wait(20.0)


def test_limits_are_those_of_model_pool_and_options(model_dir: str) -> None:
    started = start(model_dir, context_length=512)
    limits = started.limits
    assert (limits.context_length, limits.pool_tokens, limits.vocab_size) == (512, 2048, 1024)
    assert limits.options is started.config
    assert started.config.tokenizer_path == model_dir
    assert isinstance(started.client, InProcessClient)
    run_one(started)
    started.client.close()


def test_the_answer_ends_where_model_or_tokenizer_say(model_dir: str, tmp_path: Path) -> None:
    directory = shutil.copytree(model_dir, tmp_path / "m")
    (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": [5, 6]}))
    started = start(str(directory))
    assert started.tokenizer is not None
    assert started.limits.eos_token_ids == {5, 6} | started.tokenizer.eos_token_ids
    assert started.tokenizer.eos_token_ids
    started.client.close()


def test_without_a_tokenizer_the_models_end_tokens_are_left(model_dir: str) -> None:
    started = start(model_dir, skip_tokenizer_init=True)
    assert started.tokenizer is None
    assert started.limits.eos_token_ids == set(started.generation_defaults.eos_token_ids) != set()
    run_one(started)
    started.client.close()


def test_the_tokenizer_may_come_from_elsewhere(model_dir: str, tmp_path: Path) -> None:
    bare = shutil.copytree(model_dir, tmp_path / "bare")
    for file in bare.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelLoadError):
        start(str(bare))
    started = start(str(bare), tokenizer_path=model_dir)
    assert started.tokenizer is not None and started.tokenizer.encode("hello")
    started.client.close()


def test_debug_narrates(model_dir: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="sglite"):
        started = start(model_dir, log_level="debug")
        run_one(started)
        started.client.close()
    assert "r arrives: 3 prompt tokens, up to 2 new" in caplog.messages
    assert any(message.startswith("r ends (length)") for message in caplog.messages)


def test_other_levels_do_not(model_dir: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="sglite"):
        started = start(model_dir)
        run_one(started)
        started.client.close()
    assert not any("arrives" in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"context_length": 4096}, ConfigError, "context_length is 4,096"),
        ({"chat_template": "/nowhere/template.jinja"}, ModelLoadError, "/nowhere/template"),
        ({"tokenizer_path": "/nowhere"}, ModelLoadError, "/nowhere"),
    ],
)
def test_what_can_be_known_early_is_refused_before_weights_are_loaded(
    model_dir: str,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.setattr("sglite.assembly.load_model", None)
    with pytest.raises(error, match=message):
        start(model_dir, **options)


def test_a_missing_model_is_named() -> None:
    with pytest.raises(ModelLoadError, match="/nowhere/model"):
        start("/nowhere/model")


def test_only_requests_with_stops_are_checked(model_dir: str) -> None:
    assert _checkers(None)(SamplingParams(stop=("x",))) is None
    started = start(model_dir)
    started.client.close()
    make_checker = _checkers(started.tokenizer)
    assert make_checker(SamplingParams()) is None
    assert make_checker(SamplingParams(stop=("x",))) is not None
