"""The engine's process from within; as a process it is tested with the launcher."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sglite import startup
from sglite.config import EngineConfig
from sglite.errors import ModelLoadError
from sglite.host.share import HostShare
from sglite.ipc import engine_process
from sglite.ipc.engine_process import (
    EngineProcess,
    keep_threads_from_spinning,
    num_usable_cores,
)
from sglite.ipc.engine_settings import EXIT_BAD_CONFIG, EXIT_FAULT, EXIT_STOPPED, EngineSettings
from sglite.ipc.messages import Digest, Fatal, Outputs, Ready, Submit
from sglite.ipc.private_directory import (
    listen_in,
    make_private_directory,
    remove_private_directory,
    socket_path,
)
from sglite.request import Request
from sglite.router.prefix_hashes import page_hashes, unpack
from tests.cli.real_model import make_tiny_model
from tests.ipc.harness import RawClient

WAIT_S = 60.0


@dataclass
class Child:
    """The process's object in a thread of this one. ``codes`` are its exits."""

    raw: RawClient
    parent_end: int
    process: EngineProcess
    thread: threading.Thread
    codes: list[int]

    def exit_code(self) -> int:
        self.thread.join(WAIT_S)
        return self.codes[0]


@contextlib.contextmanager
def child(
    monkeypatch: pytest.MonkeyPatch, *, publishes_digest: bool = False, **options: Any
) -> Iterator[Child]:
    codes: list[int] = []
    parent_gone = threading.Event()

    def note_exit(code: int) -> None:
        parent_gone.set()

    monkeypatch.setattr(engine_process.os, "_exit", note_exit)
    directory = make_private_directory()
    listener = listen_in(directory)
    read_end, write_end = os.pipe()
    config = EngineConfig(**options).to_dict()
    settings = EngineSettings(
        config, (0, 1), listener.detach(), read_end, directory, 0.0, 0.5, publishes_digest
    )
    with RawClient(socket_path(directory)) as raw:
        process = EngineProcess(settings)
        thread = threading.Thread(target=lambda: codes.append(process.run()))
        thread.start()
        yield Child(raw, write_end, process, thread, codes)
        if process._started is not None:
            process._started.client.close()
        thread.join(WAIT_S)
        os.close(write_end)
        assert parent_gone.wait(WAIT_S)  # the watch has seen the end of its pipe
        assert not Path(directory).exists()
    os.close(read_end)
    remove_private_directory(directory)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


def test_ready_says_what_the_engine_is_and_a_word_stops_it(
    monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    with child(monkeypatch, model_path=model, max_total_tokens=2048, context_length=512) as it:
        ready = it.raw.next()
        assert isinstance(ready, Ready)
        assert (ready.context_length, ready.pool_tokens, ready.vocab_size) == (512, 2048, 1024)
        assert ready.model_context_length == 1024 and ready.pid == os.getpid()
        assert ready.config["model_path"] == model and ready.startup_s > 0
        it.raw.send(Submit([Request(request_id="a", prompt_token_ids=[1, 2], max_new_tokens=2)]))
        it.raw.next_of(Outputs)
        os.write(it.parent_end, b"q")
        assert it.exit_code() == EXIT_STOPPED


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ModelLoadError("config.json is missing"), EXIT_BAD_CONFIG, "config.json is missing"),
        (OSError("disk"), EXIT_FAULT, "failed to start: disk"),
    ],
)
def test_what_goes_wrong_at_the_start_is_told(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, words: str
) -> None:
    def fail(config: EngineConfig, host: HostShare) -> None:
        raise error

    monkeypatch.setattr(startup, "start_engine", fail)
    with child(monkeypatch) as it:
        fatal = it.raw.next()
        assert isinstance(fatal, Fatal) and words in fatal.message
        assert it.exit_code() == code


def test_what_is_cached_and_a_later_fault_are_told(
    monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    def break_down(engine: object) -> None:
        raise SystemExit("the device is gone")

    options = {"model_path": model, "max_total_tokens": 2048, "page_size": 4}
    with child(monkeypatch, publishes_digest=True, **options) as it:
        assert isinstance(it.raw.next(), Ready)
        assert it.raw.next_of(Digest).page_size == 4
        it.raw.send(Submit([Request(request_id="a", prompt_token_ids=list(range(1, 10)))]))
        told = page_hashes(list(range(1, 10)), 4)
        assert set(told) <= set(unpack(it.raw.next_of(Digest).added))
        assert it.process._started is not None
        it.process._started.client.begin_call(break_down)
        assert it.raw.next_of(Fatal).message == "the engine has stopped: the device is gone"
        assert it.exit_code() == EXIT_FAULT


def test_threads_do_not_spin_where_cores_are_few(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")  # is put back afterwards
    keep_threads_from_spinning(2)
    assert os.environ["OMP_WAIT_POLICY"] == "active"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    keep_threads_from_spinning(16)
    assert "OMP_WAIT_POLICY" not in os.environ
    keep_threads_from_spinning(2)
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
    assert 1 <= num_usable_cores() <= (os.cpu_count() or 1)
