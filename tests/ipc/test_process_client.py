"""The HTTP side's client, against a real server over the fake model."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sglite.errors import CapacityError, EngineDeadError, NotReadyError, RequestError
from sglite.ipc.process_client import ProcessClient, _portions
from sglite.request import FinishReason, Request, SamplingParams
from sglite.router.prefix_hashes import unpack
from tests.fakes import expected_output
from tests.ipc.harness import PROMPTS, Receiver, Served, endless, request, run

SRC = Path(__file__).resolve().parents[2] / "src"
FRONT_MODULES = (
    "sglite.ipc",
    "sglite.ipc.process_client",
    "sglite.ipc.engine_launcher",
    "sglite.generation",
    "sglite.wire",
    "sglite.validation",
    "sglite.tokenizer",
    "sglite.models.hub",
    "sglite.models.generation_config",
)


async def connect(served: Served) -> ProcessClient:
    client = await ProcessClient.connect(served.path)
    await client.wait_ready()
    return client


def test_the_http_side_loads_no_torch() -> None:
    code = "\n".join(f"import {name}" for name in FRONT_MODULES) + "\nimport sys\n"
    code += "print(*{'torch', 'numpy', 'transformers', 'sglite.engine.engine'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_requests_are_answered_each_to_its_receiver() -> None:
    async def work() -> None:
        client, one, two = await connect(served), Receiver(), Receiver()
        client.submit([request("a", 0), request("b", 1)], one)
        client.submit([request("c", 2)], two)
        assert client.open_count == 3
        await asyncio.gather(one.wait_for_ends(2), two.wait_for_ends(1))
        assert one.tokens == {name: expected_output(PROMPTS[i], 10) for i, name in enumerate("ab")}
        assert two.tokens == {"c": expected_output(PROMPTS[2], 10)}
        assert client.open_count == 0 and not one.refusals
        client.close()

    with Served() as served:
        run(work())


def test_an_aborted_request_ends_and_the_others_go_on() -> None:
    async def work() -> None:
        client, receiver = await connect(served), Receiver()
        client.submit([endless("a"), endless("b", 1)], receiver)
        await receiver.wait_until(lambda: len(receiver.tokens) == 2)
        client.abort(["a", "a", "unknown"])
        client.abort(["unknown"])
        await receiver.wait_for_ends(1)
        assert [(end.request_id, end.reason) for end in receiver.finishes] == [
            ("a", FinishReason.ABORT)
        ]
        assert client.open_count == 1
        client.close()
        ((name, error),) = receiver.refusals
        assert name is None and isinstance(error, EngineDeadError)

    with Served() as served:
        run(work())


def test_a_refusal_is_a_capacity_error() -> None:
    async def work() -> None:
        client, receiver = await connect(served), Receiver()
        client.submit([endless("a"), endless("b", 1)], receiver)
        await receiver.wait_for_ends(1)
        ((name, error),) = receiver.refusals
        assert name == "b" and isinstance(error, CapacityError) and error.retry_after_s
        assert client.open_count == 1
        client.close()

    with Served(max_running_requests=1, max_queued_requests=1) as served:
        run(work())


def test_what_the_engine_finds_invalid_is_a_request_error() -> None:
    async def work() -> None:
        client, receiver = await connect(served), Receiver()
        asks = dataclasses.replace(request("a"), sampling=SamplingParams(regex="x"))
        client.submit([asks, request("b", 1)], receiver)
        await receiver.wait_for_ends(2)
        ((name, error),) = receiver.refusals
        assert name == "a" and isinstance(error, RequestError) and error.param == "regex"
        assert str(error) == "this engine has no grammars"
        client.close()

    with Served() as served:
        run(work())


def test_while_the_engine_loads_nothing_is_taken() -> None:
    async def work() -> None:
        client = await ProcessClient.connect(served.path)
        assert client.ready is None and client.is_alive and client.heartbeat_age_s == 0.0
        with pytest.raises(NotReadyError):
            client.submit([request("a")], Receiver())
        with pytest.raises(NotReadyError):
            await client.control("stats")
        served.become_ready()
        assert await client.wait_ready() == client.ready == served.ready()
        client.close()

    with Served(is_ready=False) as served:
        run(work())


def test_another_protocol_is_refused() -> None:
    async def work() -> None:
        client = await ProcessClient.connect(served.path)
        served.server._command(lambda: served.server._greet_all(served.ready(version=99)))
        with pytest.raises(EngineDeadError, match="protocol 99"):
            await client.wait_ready()

    with Served(is_ready=False) as served:
        run(work())


def test_when_the_engine_dies_everybody_hears_once() -> None:
    async def work() -> None:
        client, receivers = await connect(served), [Receiver(), Receiver()]
        deaths: list[str] = []
        client.on_death(deaths.append)
        client.submit([endless("a"), endless("b", 1)], receivers[0])
        client.submit([endless("c", 2)], receivers[1])
        await receivers[1].wait_until(lambda: receivers[1].tokens)
        waiting = asyncio.create_task(client.control("flush_cache", timeout_s=60.0))
        await asyncio.sleep(0.05)
        served.server.fail("the device is gone")
        await client.died
        with pytest.raises(EngineDeadError, match="the device is gone"):
            await waiting
        for receiver in receivers:
            ((name, error),) = receiver.refusals
            assert name is None and isinstance(error, EngineDeadError)
        assert deaths == ["the device is gone"] and not client.is_alive
        with pytest.raises(EngineDeadError, match="the device is gone"):
            client.submit([request("late")], Receiver())
        client.abort(["a"])
        client.close()

    with Served() as served:
        run(work())


def test_the_end_of_the_stream_is_death() -> None:
    async def work() -> None:
        client, receiver = await connect(served), Receiver()
        client.submit([endless("a")], receiver)
        await asyncio.to_thread(served.server.close)
        await receiver.wait_until(lambda: receiver.refusals)
        assert "has ended" in client.died.result()

    with Served() as served:
        run(work())


def test_nobody_at_the_socket_is_an_engine_dead_error(tmp_path: Path) -> None:
    with pytest.raises(EngineDeadError, match="no engine answers"):
        run(ProcessClient.connect(str(tmp_path / "nothing")))


def test_control_returns_raises_and_survives_nobody_waiting() -> None:
    async def work() -> None:
        client = await connect(served)
        assert (await client.control("stats"))["num_running_requests"] == 0
        with pytest.raises(RequestError, match="not an operation"):
            await client.control("eval", code="1")
        with pytest.raises(RequestError, match="timeout_s"):
            await client.control("flush_cache", timeout_s="long")
        client.submit([endless("a")], receiver := Receiver())
        await receiver.wait_until(lambda: receiver.tokens)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.control("flush_cache", timeout_s=0.2), 0.05)
        await asyncio.sleep(0.3)
        assert await client.control("flush_cache") is False
        client.close()

    with Served() as served:
        run(work())


def test_heartbeats_arrive_and_frames_that_are_none_are_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        client = await connect(served)
        while client.heartbeat is None:
            await asyncio.sleep(0.01)
        assert client.heartbeat.num_running == 0 and client.heartbeat_age_s < 10.0
        for frame in (b"", b"\xc7\x04\x01abcd", b"\x91" * 100_000):
            client.take_frame(memoryview(frame))
        assert client.num_dropped_frames == 3 and client.is_alive
        client.close()

    with Served(heartbeat_s=0.02) as served:
        run(work())


def test_digests_are_handed_on_and_may_be_ignored() -> None:
    async def work() -> None:
        client, deaf, heard = await connect(served), await connect(served), asyncio.Queue(8)
        client.on_digest = heard.put_nowait
        client.submit([Request(request_id="a", prompt_token_ids=list(range(1, 33)))], Receiver())
        while (digest := await heard.get()).is_whole:
            continue
        assert digest.page_size == 16
        assert unpack(digest.added)[:1] and deaf.num_dropped_frames == 0 and deaf.is_alive
        client.close()
        deaf.close()

    with Served(publishes_digest=True) as served:
        run(work())


def test_large_submits_go_in_portions() -> None:
    long = [Request(request_id=str(i), prompt_token_ids=range(400_000)) for i in range(5)]
    assert [len(part) for part in _portions(long)] == [2, 2, 1]
    assert list(_portions([])) == []
