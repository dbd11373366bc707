"""Real processes: how they start, fail, hang and end. The embedded model, as users get it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sglite.config import EngineConfig
from sglite.errors import ConfigError, EngineDeadError
from sglite.ipc.engine_launcher import EngineLauncher
from sglite.ipc.messages import Digest
from sglite.request import Request, SamplingParams
from sglite.router.prefix_hashes import page_hashes, unpack
from tests.ipc.harness import Receiver, wait_until

START_S = 120.0
OPTIONS = {"max_total_tokens": 2048}

PARENT = """
import asyncio
from sglite.config import EngineConfig
from sglite.ipc.engine_launcher import EngineLauncher

async def main():
    launcher = EngineLauncher(EngineConfig(max_total_tokens=2048))
    await launcher.start()
    print(launcher.pid, launcher.path, flush=True)
    {then}
    print("ready", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def is_running(pid: int) -> bool:
    """False where the process is gone, or dead and not waited for."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@contextlib.asynccontextmanager
async def launched(**watching: Any) -> AsyncIterator[tuple[EngineLauncher, Receiver]]:
    """A ready engine with one request that runs."""
    launcher = EngineLauncher(EngineConfig(**OPTIONS), **watching)
    try:
        client = await launcher.start()
        await launcher.wait_ready(START_S)
        receiver = Receiver()
        request = Request(
            request_id="r", prompt_token_ids=[1, 2, 3], max_new_tokens=1500,
            sampling=SamplingParams(ignore_eos=True),
        )  # fmt: skip
        client.submit([request], receiver)
        await receiver.wait_until(lambda: receiver.tokens)
        yield launcher, receiver
    finally:
        await launcher.stop(0.0)


def assert_nothing_is_left(pid: int | None, path: str | None) -> None:
    assert pid is not None and path is not None
    wait_until(lambda: not is_running(pid))
    assert not Path(path).exists() and not Path(path).parent.exists()


def test_an_engine_starts_answers_tells_and_stops_and_leaves_nothing() -> None:
    async def work() -> None:
        async with launched(publishes_digest=True) as (launcher, receiver):
            pid, path = launcher.pid, launcher.path
            assert path is not None and Path(path).parent.stat().st_mode & 0o777 == 0o700
            client = launcher.client
            assert client is not None and client.ready is not None
            assert client.ready.config["max_total_tokens"] == 2048 and client.ready.pid == pid
            assert (await client.control("stats"))["num_finished_requests"] == 0
            digests: asyncio.Queue[Digest] = asyncio.Queue(100)
            client.on_digest = digests.put_nowait
            prompt = list(range(1, 66))
            cached = Request(request_id="cached", prompt_token_ids=prompt, max_new_tokens=1)
            client.submit([cached], receiver)
            told = page_hashes(prompt, client.ready.config["page_size"])
            while told[0] not in unpack((await digests.get()).added):
                continue
            await receiver.wait_for_ends(1)
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)
            assert (await client.control("stats"))["num_running_requests"] == 1
            assert await launcher.stop(START_S) == 0
            assert len(receiver.finishes) + len(receiver.refusals) == 2
            assert_nothing_is_left(pid, path)
            assert await launcher.stop(1.0) == 0

    asyncio.run(work())


def test_kill_9_of_the_engine_fails_its_requests_at_once() -> None:
    async def work() -> None:
        async with launched() as (launcher, receiver):
            os.kill(launcher.pid or 0, signal.SIGKILL)
            await asyncio.wait_for(receiver.wait_until(lambda: receiver.refusals), 5.0)
            ((name, error),) = receiver.refusals
            assert name is None and isinstance(error, EngineDeadError)
            pid, path = launcher.pid, launcher.path
            assert await launcher.stop(5.0) == -signal.SIGKILL
            assert_nothing_is_left(pid, path)

    asyncio.run(work())


def test_an_engine_that_stands_still_is_found_and_killed(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with launched(watchdog_timeout_s=3.0) as (launcher, receiver):
            os.kill(launcher.pid or 0, signal.SIGSTOP)
            await asyncio.wait_for(receiver.wait_until(lambda: receiver.refusals), 60.0)
            wait_until_gone = asyncio.to_thread(
                wait_until, lambda: not is_running(launcher.pid or 0)
            )
            await wait_until_gone
            assert "has not turned" in str(receiver.refusals[0][1])

    asyncio.run(work())
    assert "engine_hangs" in caplog.text
    assert "engine_server.py" in capfd.readouterr().err  # the stacks


def test_bad_options_are_a_config_error_with_the_engines_words() -> None:
    async def work() -> None:
        launcher = EngineLauncher(EngineConfig(context_length=1_000_000))
        try:
            await launcher.start()
            pid, path = launcher.pid, launcher.path
            with pytest.raises(ConfigError, match="context_length is 1,000,000"):
                await launcher.wait_ready(START_S)
            assert launcher.exit_code == 2
        finally:
            await launcher.stop(1.0)
        assert_nothing_is_left(pid, path)

    asyncio.run(work())


def test_no_place_for_a_socket_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = Path(tempfile.mkdtemp()) / ("long" * 40)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))

    async def work() -> None:
        launcher = EngineLauncher(EngineConfig())
        with pytest.raises(ConfigError, match="TMPDIR"):
            await launcher.start()
        assert launcher.path is None and launcher.pid is None
        with pytest.raises(EngineDeadError):
            await EngineLauncher(EngineConfig()).wait_ready()

    asyncio.run(work())
    assert not list(deep.iterdir())
    deep.rmdir()
    deep.parent.rmdir()


def test_too_long_a_start_is_said_and_stopped() -> None:
    async def work() -> None:
        launcher = EngineLauncher(EngineConfig(**OPTIONS))
        await launcher.start()
        pid, path = launcher.pid, launcher.path
        with pytest.raises(EngineDeadError, match=r"not ready after 0\.01 s"):
            await launcher.wait_ready(0.01)
        await launcher.stop(START_S)
        assert_nothing_is_left(pid, path)

    asyncio.run(work())


@pytest.mark.parametrize("then", ["pass", "await launcher.wait_ready()"], ids=["loading", "ready"])
def test_kill_9_of_the_parent_ends_the_engine_too(then: str) -> None:
    code = PARENT.format(then=then)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid_text, path = parent.stdout.readline().decode().split()
        assert parent.stdout.readline() == b"ready\n"
        if then == "pass":
            time.sleep(0.3)
        assert is_running(int(pid_text))
        parent.kill()
        parent.wait()
        assert_nothing_is_left(int(pid_text), path)
