"""Ranks as processes, from their start to their end, seen from the engine that leads them."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from sglite import LLM
from sglite.config import EngineConfig
from sglite.distributed.layout import RankLayout
from sglite.errors import ConfigError
from sglite.ranks import rank_launcher
from sglite.ranks.rank_settings import RankSettings
from sglite.server.listen import bind
from tests.cli.real_model import make_tiny_model
from tests.e2e.process_tree import shared_memory_files
from tests.server.live import LiveServer, live_server

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 8}, "big": {"type": "boolean"}},
    "required": ["city", "big"],
    "additionalProperties": False,
}
PROMPTS = ["The capital of France is", "The capital of France is not", "1 2 3 4 5"]
RANK = "ranks.rank_process"


def ranks_here() -> list[int]:
    """The rank processes that this one has started."""
    tasks = Path("/proc/self/task").glob("*/children")
    children = [int(pid) for task in tasks for pid in task.read_text().split()]
    return [pid for pid in children if RANK.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]


def answers(llm: LLM) -> list[Any]:
    """Greedy texts, a JSON object, and how much of a prompt was cached."""
    plain = llm.generate(PROMPTS, {"temperature": 0, "max_new_tokens": 12, "ignore_eos": True})
    form = {"temperature": 0, "max_new_tokens": 60, "json_schema": json.dumps(SCHEMA)}
    formed = llm.generate(PROMPTS, form)
    again = llm.generate(PROMPTS[0], {"temperature": 0, "max_new_tokens": 2})
    assert all(set(json.loads(each.text)) == {"city", "big"} for each in formed)
    return [*((each.token_ids, each.text) for each in plain + formed), again.num_cached_tokens]


def test_two_ranks_say_what_one_says_and_leave_nothing() -> None:
    """The embedded model, with a grammar and the prefix cache."""
    before = shared_memory_files()
    options = {"max_total_tokens": 4096, "page_size": 4, "dtype": "float32"}
    with LLM(cpu_kernels="torch", **options) as llm:
        expected = answers(llm)
    with LLM(tp_size=2, **options) as llm:
        ranks = ranks_here()
        found = answers(llm)
    assert found == expected
    assert expected[-1] >= 4
    assert len(ranks) == 1
    assert ranks_here() == []
    assert shared_memory_files() == before


def test_a_start_that_is_broken_off_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []

    class Started:
        socket = None
        process = None

        def __init__(self, rank: int) -> None:
            self.rank = rank

        def kill(self) -> None:
            killed.append(self.rank)

    def start_rank(settings: RankSettings, module: str) -> Started:
        if settings.rank == 3:
            raise KeyboardInterrupt
        return Started(settings.rank)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(rank_launcher, "start_rank", start_rank)
    config = EngineConfig(tp_size=4)
    fds = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(KeyboardInterrupt):
        rank_launcher.launch_ranks(config, RankLayout.of(config), tmp_path)
    assert killed == [1, 2]
    assert list(tmp_path.iterdir()) == []
    assert sorted(os.listdir("/proc/self/fd")) == fds


@pytest.mark.slow
def test_what_a_rank_cannot_do_is_the_leaders_error(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path)
    with pytest.raises(ConfigError, match="tp_size 3"):
        LLM(model, tp_size=3)
    assert ranks_here() == []


@pytest.mark.slow
@pytest.mark.parametrize("is_busy", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT], ids=lambda each: each.name)
def test_a_dead_rank_ends_the_server_with_an_error(
    tmp_path: Path, number: signal.Signals, *, is_busy: bool
) -> None:
    with live_server("--tp", "4", "--dtype", "float32", directory=tmp_path) as server:
        if is_busy:
            begin_stream(server.url)
        os.kill(server.running(RANK)[1], number)
        started_s = time.monotonic()
        assert server.wait(10.0) == 1
        assert time.monotonic() - started_s < 5.0
        server.assert_nothing_left()


def begin_stream(url: str) -> None:
    """Ask for many tokens; the answer is left alone once it has begun."""
    body = {"text": "Once", "stream": True, "sampling_params": {"max_new_tokens": 1500,
            "ignore_eos": True}}  # fmt: skip
    client = httpx.Client(base_url=url, timeout=30.0)
    stream = client.stream("POST", "/generate", json=body)
    assert next(stream.__enter__().iter_lines())


@pytest.mark.slow
def test_a_rank_that_stands_still_ends_the_server_after_the_timeout(tmp_path: Path) -> None:
    options = ("--tp", "2", "--dist-timeout-s", "3")
    with live_server(*options, directory=tmp_path) as server:
        begin_stream(server.url)
        os.kill(server.running(RANK)[0], signal.SIGSTOP)
        started_s = time.monotonic()
        assert server.wait(20.0) == 1
        assert 2.0 < time.monotonic() - started_s < 10.0
        assert "dist_timeout_s" in server.errors
        server.assert_nothing_left()


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.0, 0.5, 1.5, 3.0])
def test_ranks_end_with_a_server_that_is_killed(tmp_path: Path, after_s: float) -> None:
    server = LiveServer("--tp", "2", directory=tmp_path)
    while not server.running("ipc.engine_process"):
        time.sleep(0.05)
    time.sleep(after_s)
    os.kill(server.running("ipc.engine_process")[0], signal.SIGKILL)
    assert server.wait(10.0) == 1
    server.assert_nothing_left()


@pytest.mark.slow
def test_a_server_of_several_ranks_ends_in_good_order(tmp_path: Path) -> None:
    with live_server("--tp", "2", directory=tmp_path) as server:
        body = {"text": "The capital of France is", "sampling_params": {"temperature": 0}}
        with server.client() as client:
            assert "Paris" in client.post("/generate", json=body).json()["text"]
        server.interrupt()
        assert server.wait() == 0
        server.assert_nothing_left()
        assert "Traceback" not in server.errors


@pytest.mark.slow
def test_two_machines_serve_one_engine(tmp_path: Path) -> None:
    """Two addresses of the loopback stand for machines; the second computes and serves nothing."""
    key_file = tmp_path / "key"
    key_file.write_text("5f0c" * 16)
    with bind("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
    options = ["--tp", "2", "--nnodes", "2", "--dist-init-addr", f"127.0.0.1:{port}"]
    options += ["--dist-key-file", str(key_file), "--dist-timeout-s", "10"]
    directories = [tmp_path / "machine0", tmp_path / "machine1"]
    for directory in directories:
        directory.mkdir()
    node = LiveServer(*options, "--node-rank", "1", directory=directories[1])
    try:
        with live_server(*options, directory=directories[0]) as server:
            body = {"text": "The capital of France is", "sampling_params": {"temperature": 0}}
            with server.client() as client:
                assert "Paris" in client.post("/generate", json=body).json()["text"]
            assert "HTTP is there" in node.errors
            server.interrupt()
            assert server.wait() == 0
            assert node.wait(20.0) == 0
            server.assert_nothing_left()
            node.assert_nothing_left()
    finally:
        node.kill()
