import asyncio

import pytest

from tests.router_server.fake_workers import FakeWorker, router_with
from tests.router_server.test_proxy import ASK, names, until


def run(test, **options):
    async def main():
        async with router_with(1, **options) as (router, worker), FakeWorker("new") as new:
            await asyncio.wait_for(test(router, worker, new), 10)

    asyncio.run(main())


def test_workers_are_shown_with_their_load():
    async def test(router, worker, new):
        shown = (await router.get("/workers")).json()
        assert shown["total"] == 1 and shown["num_waiting_requests"] == 0
        assert shown["workers"] == [
            {
                "id": 0, "url": worker.url, "state": "up", "is_healthy": True, "load": 0,
                "num_open_tokens": 0,
            }
        ]  # fmt: skip
        assert (await router.get("/list_workers")).json() == {"urls": [worker.url]}

    run(test)


@pytest.mark.parametrize("is_old", [False, True])
def test_a_worker_is_added_and_removed_while_the_router_runs(is_old):
    async def test(router, worker, new):
        if is_old:
            answer = await router.post("/add_worker", params={"url": new.url + "/"})
        else:
            answer = await router.post("/workers", json={"url": new.url})
        assert answer.status_code == 200 and new.url in answer.text
        await until(lambda: len(router.front.workers.up) == 2)
        answers = [await router.post("/generate", json=ASK) for _ in range(2)]
        assert sorted(names(answers)) == ["new", "w0"]
        if is_old:
            answer = await router.post("/remove_worker", params={"url": worker.url})
        else:
            answer = await router.delete("/workers", params={"url": worker.url})
        assert answer.status_code == 200
        answers = [await router.post("/generate", json=ASK) for _ in range(2)]
        assert names(answers) == ["new", "new"]

    run(test)


def test_a_worker_that_is_removed_ends_what_it_has():
    async def test(router, worker, new):
        worker.gate.clear()
        asked = asyncio.ensure_future(router.post("/generate", json=ASK))
        await worker.arrived.wait()
        await router.delete("/workers", params={"url": worker.url})
        (shown,) = (await router.get("/workers")).json()["workers"]
        assert (shown["state"], shown["load"]) == ("leaving", 1)
        worker.gate.set()
        assert names([await asked]) == ["w0"]
        assert (await router.get("/workers")).json()["workers"] == []

    run(test)


@pytest.mark.parametrize("body", [{}, {"url": 1}, {"url": "ftp://a"}, {"url": "http://u:p@a"}])
def test_bad_addresses_are_refused(body):
    async def test(router, worker, new):
        for method in ("POST", "DELETE"):
            answer = await router.request(method, "/workers", json=body)
            assert answer.status_code == 400 and answer.json()["error"]["param"] == "url"
        for path in ("/add_worker", "/remove_worker"):
            url = str(body.get("url", ""))
            answer = await router.post(path, params={"url": url} if url else {})
            assert answer.status_code in (200, 400, 404) and len(router.front.workers.all) <= 2

    run(test)


def test_removing_nobody_is_a_404():
    async def test(router, worker, new):
        assert (await router.delete("/workers", params={"url": new.url})).status_code == 404
        assert (await router.post("/remove_worker", params={"url": new.url})).status_code == 404

    run(test)


def test_addresses_are_for_who_may_control():
    async def test(router, worker, new):
        headers = {"Authorization": "Bearer k"}
        for method, path in (("GET", "/workers"), ("POST", "/workers"), ("GET", "/list_workers")):
            answer = await router.request(method, path, headers=headers)
            assert answer.status_code == 403

    run(test, api_key="k", admin_api_key="a")
