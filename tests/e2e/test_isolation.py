"""Nobody gets a token of anybody else's, nor loses one, whoever runs, leaves or is named alike.

The fake model answers with what follows from every token of the prompt, read back from the KV pages
that the engine gave it: one foreign page and the answer, or the model itself, says so.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.fake_model_server import FakeModelServer
from tests.fakes import EOS, expected_output

NUM_CALLERS = 64
PAGE_SIZE = 4
NUM_BASES = 8
BASES = [[1 + base, *(2 + (base * i) % 90 for i in range(5 * base))] for base in range(NUM_BASES)]
"""Beginnings that many prompts share; no two of them begin with the same token."""


def run(work: Coroutine[Any, Any, None], timeout_s: float = 60.0) -> None:
    """Run a test that must not hang."""
    asyncio.run(asyncio.wait_for(work, timeout_s))


@dataclass
class Canary:
    """One request with a prompt of its own, and what it must get."""

    number: int
    rng: random.Random
    base: int = field(init=False)
    salt: str = field(init=False)
    prompt: list[int] = field(init=False)

    def __post_init__(self) -> None:
        rng = self.rng
        self.base = rng.randrange(NUM_BASES)
        self.salt = rng.choice(["", f"{self.number // 100}-a", f"{self.number // 100}-b"])
        tag = [1 + (self.number // 96**i) % 96 for i in range(4)]
        self.prompt = BASES[self.base] + tag + [1 + rng.randrange(96) for _ in range(8)]
        self.limit = rng.randint(1, 24)
        self.stops = rng.sample(range(1, 97), rng.choice([0, 0, 3, 10]))

    @property
    def expected(self) -> list[int]:
        """The tokens of the answer."""
        output = expected_output(self.prompt, self.limit)
        ends = [i for i, token in enumerate(output) if token in (EOS, *self.stops)]
        return output[: ends[0] + 1] if ends else output

    def body(self, **more: Any) -> dict[str, Any]:
        """The call."""
        sampling = {"max_new_tokens": self.limit, "stop_token_ids": self.stops, "temperature": 0}
        salt = {"cache_salt": self.salt} if self.salt else {}
        return {"input_ids": self.prompt, "sampling_params": sampling, **salt, **more}

    @property
    def beginnings(self) -> list[tuple[str, tuple[int, ...]]]:
        """What of the prompt can be shared, shortest first: whole pages, with the namespace."""
        ends = range(PAGE_SIZE, len(self.prompt) + 1, PAGE_SIZE)
        return [(self.salt, tuple(self.prompt[:end])) for end in ends]

    def check(self, answer: Any, *, num_sharable: int) -> None:
        """Fail on any token or count that is not this request's."""
        meta = answer["meta_info"]
        assert answer["output_ids"] == self.expected, self
        assert meta["finish_reason"]["type"] == ("length" if self._is_cut else "stop")
        assert meta["prompt_tokens"] == len(self.prompt)
        assert meta["completion_tokens"] == len(self.expected)
        assert meta["cached_tokens"] <= num_sharable, f"{meta}: its namespace has seen less: {self}"

    @property
    def _is_cut(self) -> bool:
        return self.expected[-1] not in (EOS, *self.stops)


class Canaries:
    """Callers that ask, leave and abort until so many answers are complete."""

    def __init__(self, server: FakeModelServer, num_answers: int) -> None:
        self.server = server
        self.num_answers = num_answers
        self.num_complete = 0
        self.num_left = 0
        self.num_cached = 0
        self._numbers = itertools.count()
        self._sent: set[tuple[str, tuple[int, ...]]] = set()
        self._live: dict[int, str] = {}

    async def run(self) -> None:
        """All of them, and one who retracts, and aborts almost the names of others' calls."""
        vandal = asyncio.ensure_future(self._disturb())
        await asyncio.gather(*(self._caller() for _ in range(NUM_CALLERS)))
        vandal.cancel()
        await asyncio.gather(vandal, return_exceptions=True)

    async def _caller(self) -> None:
        while self.num_complete < self.num_answers:
            number = next(self._numbers)
            canary = Canary(number, random.Random(number))
            way = canary.rng.random()
            if way < 0.1:
                await self._leave(canary)
            elif way < 0.2:
                await self._abort(canary)
            else:
                await self._ask(canary, twin=way < 0.4)

    async def _ask(self, canary: Canary, *, twin: bool) -> None:
        """Ask; twins all bear the same names."""
        name = "twin" if twin else f"canary-{canary.number}-end"
        num_sharable = PAGE_SIZE * sum(each in self._sent for each in canary.beginnings)
        self._sent.update(canary.beginnings)
        self._live[canary.number] = name
        answer = await self.server.ask(canary.body(rid=name), request_id=name)
        del self._live[canary.number]
        canary.check(answer, num_sharable=num_sharable)
        assert answer["meta_info"]["id"] == name
        self.num_complete += 1
        self.num_cached += answer["meta_info"]["cached_tokens"] > 0

    async def _leave(self, canary: Canary) -> None:
        self._sent.update(canary.beginnings)
        call = self.server.call(canary.body(stream=canary.rng.random() < 0.5))
        for _ in range(canary.rng.randrange(40)):
            await asyncio.sleep(0)
        call.disconnect()
        await call.task
        self.num_left += 1

    async def _abort(self, canary: Canary) -> None:
        self._sent.update(canary.beginnings)
        name = f"aborted-{canary.number}"
        call = self.server.call(canary.body(rid=name))
        for _ in range(canary.rng.randrange(40)):
            await asyncio.sleep(0)
        await self.server.ask({"rid": name}, "/abort_request")
        await call.task
        answer = call.json()["output_ids"]
        assert answer == canary.expected[: len(answer)]
        self.num_left += 1

    async def _disturb(self) -> None:
        for number in itertools.count():
            await asyncio.sleep(0.002)
            await self.server.retract_one(number)
            names = list(self._live.values())
            if names:
                name = names[number % len(names)]
                wrong = [name[: number % len(name)], name + "0", name.upper(), name[1:]]
                await self.server.ask({"rid": wrong[number % 4]}, "/abort_request")


async def check_canaries(num_answers: int, **options: Any) -> None:
    """Let callers come until ``num_answers`` are complete; then nothing may be kept."""
    async with FakeModelServer(num_pages=200, page_size=PAGE_SIZE, **options) as server:
        canaries = Canaries(server, num_answers)
        await canaries.run()
        await server.wait_until_idle()
        counters = server.engine.counters
        print(f"{canaries.num_complete} answers, {canaries.num_left} cut short, {counters}")
        assert canaries.num_left > num_answers / 10
        assert canaries.num_cached > num_answers / 10
        assert counters.num_retractions > 0


@pytest.mark.parametrize("max_in_flight", [1, 2])
def test_canaries_get_their_own_tokens_alone(max_in_flight):
    run(check_canaries(1000, max_in_flight=max_in_flight, check=True))


@pytest.mark.slow
@pytest.mark.parametrize("max_in_flight", [1, 2])
def test_a_hundred_thousand_canaries_get_their_own_tokens_alone(max_in_flight):
    run(check_canaries(100_000, max_in_flight=max_in_flight), timeout_s=3600)


ENDLESS = {
    "input_ids": [5, 6, 7],
    "sampling_params": {"max_new_tokens": 1000, "ignore_eos": True},
}


def test_abort_hits_exactly_the_calls_of_that_name():
    async def main():
        async with FakeModelServer(num_pages=4000) as server:
            first, second = (server.call(ENDLESS | {"rid": name}) for name in ("ab", "abc"))
            while server.client.open_count < 2:
                await asyncio.sleep(0.001)
            for name in ("a", "", "abcd", "b", "AB", "ab*", "ab_0", "ab-0"):
                await server.ask({"rid": name}, "/abort_request")
            assert not first.task.done() and not second.task.done()
            await server.ask({"rid": "ab"}, "/abort_request")
            await first.task
            assert first.json()["meta_info"]["finish_reason"]["type"] == "abort"
            await second.task
            assert second.json()["meta_info"]["finish_reason"]["type"] == "length"
            assert second.json()["output_ids"] == expected_output(
                [5, 6, 7], 1000, stop_at_eos=False
            )

    run(main())


def test_engines_ids_have_nothing_of_the_clients():
    async def main():
        async with FakeModelServer(num_pages=400) as server:
            calls = [server.call(ENDLESS | {"rid": "x"}, request_id="x") for _ in range(2)]
            while server.client.open_count < 2:
                await asyncio.sleep(0.001)
            names = server.front.open_calls.engine_ids("x")
            assert len(set(names)) == 2
            assert all(len(name) == 32 and int(name, 16) for name in names)
            await server.ask({"rid": names[0][:-1]}, "/abort_request")
            assert server.client.open_count == 2
            await server.ask({"rid": names[0]}, "/abort_request")
            await asyncio.wait([each.task for each in calls], return_when="FIRST_COMPLETED")
            assert len(server.front.open_calls.engine_ids("x")) == 1
            await server.ask({"rid": "x"}, "/abort_request")
            await asyncio.gather(*(each.task for each in calls))

    run(main())


def test_salt_of_one_gives_another_no_cached_tokens():
    async def main():
        async with FakeModelServer(num_pages=400) as server:
            prompt = list(range(1, 65))

            async def cached(**salts: str) -> int:
                body = {"input_ids": prompt, "sampling_params": {"max_new_tokens": 2}} | salts
                return int((await server.ask(body))["meta_info"]["cached_tokens"])

            keys = [{}, {"cache_salt": "a"}, {"cache_salt": "b"}, {"extra_key": "a"}]
            keys += [{"cache_salt": "b", "extra_key": "a"}, {"extra_key": "salt a"}]
            assert [await cached(**each) for each in keys] == [0] * len(keys)
            assert [await cached(**each) for each in keys] == [60] * len(keys)

    run(main())
