"""Prefixes are pinned under names, within bounds, and unpinned when the last name has gone."""

from __future__ import annotations

import asyncio

import pytest

from sglite.server.app import build_app
from sglite.server.native import prefixes as prefix_routes
from sglite.server.native.prefixes import MAX_PREFIXES
from tests.server.asgi import client
from tests.server.fake_engine import make_front
from tests.server.fake_fleet import fake_engine, join, make_fleet_front, until

TEXT = "Hello there " * 20


def run(scenario, **options):
    async def main():
        front = make_front(**options)
        async with client(build_app(front, [prefix_routes])) as http:
            return await scenario(front, http)

    return asyncio.run(main())


def unpinned(front):
    return [arguments for name, arguments in front.engine.controlled if name == "unpin_prefix"]


def test_pin_list_unpin():
    async def scenario(front, http):
        front.engine.num_cached_tokens = 16
        ids = front.tokenizer.encode(TEXT)
        pinned = len(ids) // 16 * 16
        card = {"name": "system", "num_tokens": len(ids), "num_pinned_tokens": pinned}
        answer = await http.post("/prefix", json={"name": "system", "text": TEXT})
        assert answer.json() == {**card, "num_cached_tokens": 16}
        (request,) = front.engine.requests
        assert request.pin_prefix
        assert request.max_new_tokens == 0
        assert list(request.prompt_token_ids) == ids
        listed = (await http.get("/prefix")).json()
        assert listed == {"prefixes": [card], "num_pinned_tokens": pinned}
        assert (await http.delete("/prefix/system")).json() == {"name": "system", "unpinned": True}
        assert unpinned(front) == [{"namespace": "", "token_ids": ids}]
        assert (await http.get("/prefix")).json()["prefixes"] == []
        assert (await http.delete("/prefix?name=system")).status_code == 404

    run(scenario)


def test_a_new_prompt_under_a_name_lets_the_old_one_go():
    async def scenario(front, http):
        await http.post("/prefix", json={"name": "a", "input_ids": [5] * 32})
        await http.post("/prefix", json={"name": "a", "input_ids": [6] * 32, "cache_salt": "x"})
        assert unpinned(front) == [{"namespace": "", "token_ids": [5] * 32}]
        await http.delete("/prefix?name=a")
        assert unpinned(front)[1] == {"namespace": "salt x", "token_ids": [6] * 32}

    run(scenario)


def test_a_prompt_with_two_names_stays_until_both_have_gone():
    async def scenario(front, http):
        for name in ("a", "b"):
            await http.put("/prefix", json={"name": name, "input_ids": [5] * 32})
        await http.post("/prefix", json={"name": "a", "input_ids": [5] * 32})
        await http.delete("/prefix/a")
        assert unpinned(front) == []
        await http.delete("/prefix/b")
        assert len(unpinned(front)) == 1

    run(scenario)


def test_at_most_half_of_the_pool_is_pinned():
    async def scenario(front, http):
        statuses = []
        for number in range(3):
            body = {"name": str(number), "input_ids": [5 + number] * 1008}
            statuses.append((await http.post("/prefix", json=body)).status_code)
        replaced = await http.post("/prefix", json={"name": "1", "input_ids": [9] * 1008})
        return [*statuses, replaced.status_code]

    assert run(scenario) == [200, 200, 400, 200]


def test_names_are_bounded(monkeypatch):
    monkeypatch.setattr(prefix_routes, "MAX_PREFIXES", 1)

    async def scenario(front, http):
        first = await http.post("/prefix", json={"name": "a", "input_ids": [5] * 16})
        second = await http.post("/prefix", json={"name": "b", "input_ids": [6] * 16})
        return first.status_code, second.json()["error"]["param"]

    assert MAX_PREFIXES > 1
    assert run(scenario) == (200, "name")


def test_a_prefix_that_was_not_computed_has_no_name():
    async def scenario(front, http):
        front.engine.hold = True
        body = {"name": "a", "input_ids": [5] * 16}
        call = asyncio.ensure_future(http.post("/prefix", json=body))
        while not front.engine.requests:
            await asyncio.sleep(0)
        front.engine.abort([front.engine.requests[0].request_id])
        assert (await call).status_code == 429
        assert len(unpinned(front)) == 1
        front.engine.capacity = 0
        assert (await http.post("/prefix", json=body)).status_code == 429
        assert (await http.get("/prefix")).json()["prefixes"] == []

    run(scenario)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"text": TEXT}, "name"),
        ({"name": "a/b", "text": TEXT}, "name"),
        ({"name": "", "text": TEXT}, "name"),
        ({"name": "x" * 65, "text": TEXT}, "name"),
        ({"name": "a"}, "text"),
        ({"name": "a", "text": TEXT, "input_ids": [5]}, "text"),
        ({"name": "a", "text": [TEXT]}, "text"),
        ({"name": "a", "input_ids": "x"}, "input_ids"),
        ({"name": "a", "text": "short"}, "text"),
        ({"name": "a", "text": TEXT, "cache_salt": 5}, "cache_salt"),
    ],
)
def test_bad_bodies_are_400(body, param):
    async def scenario(front, http):
        return await http.post("/prefix", json=body)

    response = run(scenario)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


def test_ids_beyond_the_logits_are_400():
    async def scenario(front, http):
        return await http.post("/prefix", json={"name": "a", "input_ids": [10**9] * 16})

    assert run(scenario).status_code == 400


def test_without_a_prefix_cache_nothing_can_be_pinned():
    async def scenario(front, http):
        return await http.post("/prefix", json={"name": "a", "text": TEXT})

    assert run(scenario, disable_radix_cache=True).status_code == 400


def run_fleet(scenario):
    async def main():
        front, engines = await make_fleet_front(2)
        async with client(build_app(front, [prefix_routes])) as http:
            await scenario(front, engines, http)

    asyncio.run(main())


def pinned_in(engine):
    return [list(each.prompt_token_ids) for each in engine.requests if each.pin_prefix]


BODY = {"name": "a", "input_ids": [5] * 16}


def test_a_prefix_is_pinned_and_unpinned_in_every_engine():
    async def scenario(front, engines, http):
        answer = await http.post("/prefix", json=BODY)
        assert answer.json()["num_pinned_tokens"] == 16
        await http.delete("/prefix/a")
        for engine in engines:
            assert pinned_in(engine) == [[5] * 16]
            assert [name for name, _ in engine.controlled if name == "unpin_prefix"]

    run_fleet(scenario)


def test_an_engine_that_comes_back_gets_what_is_pinned():
    async def scenario(front, engines, http):
        await http.post("/prefix", json=BODY)
        engines[0].die()
        again = fake_engine()
        await join(front, 0, again)
        await until(lambda: pinned_in(again))
        assert pinned_in(again) == [[5] * 16] and len(pinned_in(engines[1])) == 1

    run_fleet(scenario)


def test_an_engine_that_ends_meanwhile_does_not_matter_one_that_refuses_does():
    async def scenario(front, engines, http):
        engines[0].hold = True
        call = asyncio.ensure_future(http.post("/prefix", json=BODY))
        await until(lambda: engines[0].requests)
        engines[0].die()
        assert (await call).status_code == 200
        again = fake_engine()
        await join(front, 0, again)
        again.capacity = 0
        refused = await http.post("/prefix", json={"name": "b", "input_ids": [6] * 16})
        assert refused.status_code == 429
        assert [prefix["name"] for prefix in (await http.get("/prefix")).json()["prefixes"]] == [
            "a"
        ]
        unpinned_there = [each for name, each in engines[1].controlled if name == "unpin_prefix"]
        assert unpinned_there == [{"namespace": "", "token_ids": [6] * 16}]

    run_fleet(scenario)
