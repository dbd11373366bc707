from __future__ import annotations

import asyncio
import time
from pathlib import Path

from sglite.ipc.messages import Note
from sglite.ipc.process_client import ProcessClient
from sglite.ray_backend.replica_actor import ReplicaActor
from sglite.ray_backend.tunnel import Tunnel
from tests.fakes import expected_output
from tests.ipc.harness import PROMPTS, Receiver, Served, endless, request, run, wait_until
from tests.ray_backend.harness import LocalReplica, ServedLauncher, turns


class Tunnelled:
    """A tunnel to an engine; ``ends`` counts how often its end was told."""

    def __init__(self, served: Served) -> None:
        self.launcher = ServedLauncher(served)
        self.replica = LocalReplica(ReplicaActor(self.launcher.make))
        self.future: asyncio.Future[LocalReplica] = asyncio.get_running_loop().create_future()
        self.tunnel = Tunnel(self.future, self._note_end)
        self.ends = 0

    async def start(self) -> str:
        await self.replica.start({}, {}, time.monotonic())
        self.future.set_result(self.replica)
        return await self.tunnel.open()

    async def close(self) -> None:
        await self.tunnel.close()
        await self.replica.actor.stop(0.0)
        await turns()

    async def _note_end(self) -> None:
        self.ends += 1


def test_two_clients_speak_with_the_engine_through_one_tunnel() -> None:
    async def work() -> None:
        tunnelled = Tunnelled(served)
        path = await tunnelled.start()
        assert Path(path).parent.stat().st_mode & 0o777 == 0o700
        one, two = await ProcessClient.connect(path), await ProcessClient.connect(path)
        await asyncio.gather(one.wait_ready(), two.wait_ready())
        receivers = [Receiver(), Receiver()]
        one.submit([request("a", 0), request("b", 1)], receivers[0])
        two.submit([request("c", 2)], receivers[1])
        await asyncio.gather(receivers[0].wait_for_ends(2), receivers[1].wait_for_ends(1))
        tokens = receivers[0].tokens | receivers[1].tokens
        assert tokens == {name: expected_output(PROMPTS[i], 10) for i, name in enumerate("abc")}
        assert (await two.control("stats"))["num_finished_requests"] == 3
        one.close()
        two.close()
        await tunnelled.close()
        assert not Path(path).parent.exists() and tunnelled.ends == 0

    with Served() as served:
        run(work())


def test_a_long_prompt_crosses_in_many_calls_and_arrives_whole() -> None:
    async def work() -> None:
        tunnelled = Tunnelled(served)
        client = await ProcessClient.connect(await tunnelled.start())
        await client.wait_ready()
        receiver = Receiver()
        long = PROMPTS[0] * 100_000
        client.submit([request("long"), *[request(f"r{i}", i) for i in range(1, 5)]], receiver)
        client.send_note(note := Note("test", sender=0, call_id=1, payload=long))
        heard: asyncio.Future[Note] = asyncio.get_running_loop().create_future()
        client.on_note = heard.set_result
        assert await heard == note
        await receiver.wait_for_ends(5)
        assert tunnelled.replica.calls.count("send") > 3
        client.close()
        await tunnelled.close()

    with Served() as served:
        run(work())


def test_a_client_that_leaves_takes_its_requests_along() -> None:
    async def work() -> None:
        tunnelled = Tunnelled(served)
        client = await ProcessClient.connect(await tunnelled.start())
        await client.wait_ready()
        receiver = Receiver()
        client.submit([endless("a")], receiver)
        await receiver.wait_until(lambda: receiver.tokens)
        client.close()
        await asyncio.to_thread(wait_until, lambda: served.num_live() == 0)
        assert "close" in tunnelled.replica.calls and tunnelled.ends == 0
        await tunnelled.close()

    with Served() as served:
        run(work())


def test_an_actor_that_goes_ends_every_connection_after_it_was_told() -> None:
    async def work() -> None:
        tunnelled = Tunnelled(served)
        client = await ProcessClient.connect(await tunnelled.start())
        await client.wait_ready()
        tunnelled.replica.lose()
        assert await client.died == "the engine's process has ended"
        assert tunnelled.ends == 1
        late = await ProcessClient.connect(tunnelled.tunnel.path or "")
        await late.died
        assert tunnelled.ends == 2
        await tunnelled.close()

    with Served() as served:
        run(work())


def test_who_connects_early_waits_for_the_actor() -> None:
    async def work() -> None:
        tunnelled = Tunnelled(served)
        client = await ProcessClient.connect(await tunnelled.tunnel.open())
        await asyncio.sleep(0.02)
        assert client.is_alive and client.ready is None
        await tunnelled.replica.start({}, {}, time.monotonic())
        tunnelled.future.set_result(tunnelled.replica)
        await client.wait_ready()
        await tunnelled.close()
        await client.died

    with Served() as served:
        run(work())
