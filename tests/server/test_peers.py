"""HTTP processes agree with each other through the engine."""

import asyncio

import pytest

from sglite.errors import EngineDeadError
from sglite.server import peers as peers_module
from sglite.server.peers import Peers


class Relay:
    """An engine that passes notes on, to everybody and in one order, a moment later."""

    def __init__(self):
        self.clients = []

    def connect(self):
        client = Connection(self)
        self.clients.append(client)
        return client


class Connection:
    def __init__(self, relay):
        self.relay = relay
        self.on_note = None
        self.is_alive = True

    def send_note(self, note):
        if not self.is_alive:
            raise EngineDeadError("gone")
        loop = asyncio.get_running_loop()
        for client in self.relay.clients:
            if client.on_note is not None:
                loop.call_soon(client.on_note, note)


def three():
    relay = Relay()
    return [Peers(relay.connect(), number=number, count=3) for number in range(3)]


def test_one_process_asks_itself():
    async def main():
        peers = Peers()
        peers.answer("double", lambda payload: payload * 2)
        assert await peers.ask("double", 4) == [8]

    asyncio.run(main())


def test_everybody_answers_once_also_who_asks():
    async def main():
        everybody = three()
        for each in everybody:
            each.answer("who", lambda payload, each=each: [each.number, payload])
        answers = await asyncio.gather(*(each.ask("who", each.number) for each in everybody))
        for asker, found in enumerate(answers):
            assert sorted(found) == [[0, asker], [1, asker], [2, asker]]

    asyncio.run(main())


def test_questions_of_one_moment_are_heard_in_one_order():
    async def main():
        everybody = three()
        heard = [[], [], []]
        for each in everybody:
            each.answer("say", heard[each.number].append)
        asked = [each.ask("say", f"{each.number}.{n}") for n in range(5) for each in everybody]
        await asyncio.gather(*asked)
        assert len(heard[0]) == 15
        assert heard[0] == heard[1] == heard[2]

    asyncio.run(main())


def test_a_silent_process_does_not_hold_up_the_others(monkeypatch):
    monkeypatch.setattr(peers_module, "TIMEOUT_S", 0.05)

    async def main():
        first, second, _third = three()
        _third._client.on_note = None
        for each in (first, second):
            each.answer("who", lambda _, each=each: each.number)
        assert sorted(await first.ask("who")) == [0, 1]

    asyncio.run(main())


def test_without_the_engine_nobody_can_be_asked():
    async def main():
        first, *_ = three()
        first._client.is_alive = False
        with pytest.raises(EngineDeadError):
            await first.ask("who")

    asyncio.run(main())
