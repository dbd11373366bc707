"""Which paths there are, who may call them, and what the router says of itself."""

import asyncio

from sglite.config import RouterConfig
from sglite.router_server.front import RouterFront
from sglite.router_server.routes import ONE_WORKER, routes
from sglite.server.app import load_protocols
from tests.router_server.fake_workers import router_with
from tests.server.fake_engine import make_front

ACCESS = {
    "open": {"/health", "/health/live", "/health/ready", "/ready", "/ping"},
    "control": {
        "/flush_cache", "/pause_generation", "/continue_generation", "/start_profile",
        "/stop_profile", "/prefix", "/prefix/{name}", "/workers", "/list_workers", "/add_worker",
        "/remove_worker",
    },
}  # fmt: skip
NOT_BEHIND_A_ROUTER = {"/v1/loads"}
"""It tells of one engine; /get_load has all workers'."""


def run(test, num_workers=1, **options):
    async def main():
        async with router_with(num_workers, **options) as (router, *workers):
            await asyncio.wait_for(test(router, *workers), 10)

    asyncio.run(main())


def test_access_of_every_route_is_decided_here_too():
    async def main():
        front = RouterFront(RouterConfig())
        for route in routes(front):
            decided = next((key for key, paths in ACCESS.items() if route.path in paths), "user")
            assert route.access == decided, route.path
        await front.close()

    asyncio.run(main())


def test_everything_that_a_server_has_is_there_with_the_same_access():
    async def main():
        front = RouterFront(RouterConfig())
        ours = {(path.path, each): path.access for path in routes(front) for each in path.methods}
        await front.close()
        theirs = [route for module in load_protocols() for route in module.routes(make_front())]
        for route in theirs:
            for method in route.methods:
                if route.path not in NOT_BEHIND_A_ROUTER:
                    assert ours[route.path, method] == route.access, (route.path, method)

    asyncio.run(main())


def test_without_a_key_every_path_but_the_open_ones_is_a_401():
    async def test(router, worker):
        for methods, paths in ONE_WORKER.items():
            for method in methods:
                for path in paths:
                    assert (await router.request(method, path)).status_code == 401
        for path in (*ACCESS["control"], "/metrics", "/server_info", "/nope"):
            assert (await router.get(path)).status_code == 401
        for path in ACCESS["open"]:
            assert (await router.get(path)).status_code == 200
        assert worker.calls == []

    run(test, api_key="k")


def test_the_routers_own_key_is_not_the_workers_to_see():
    async def test(router, worker):
        headers = {"Authorization": "Bearer k"}
        assert (await router.post("/generate", json={}, headers=headers)).status_code == 200
        assert "authorization" not in worker.calls[0][2]

    run(test, api_key="k")


def test_the_worker_key_is_sent_instead():
    async def test(router, worker):
        headers = {"Authorization": "Bearer k"}
        await router.post("/generate", json={}, headers=headers)
        assert worker.calls[0][2]["authorization"] == "Bearer w"

    run(test, api_key="k", worker_api_key="w")


def test_health_is_that_of_the_best_worker():
    async def test(router, first, second):
        for worker in (first, second):
            assert (await router.get("/health")).status_code == 200
            await worker.die()
            for known in router.front.workers.all:
                for _ in range(3):
                    await router.front.health.look(known)
        for path, status in (("/health", 503), ("/ready", 503), ("/health/live", 200)):
            assert (await router.get(path)).status_code == status

    run(test, 2)


def test_a_router_is_no_worker_of_its_own():
    async def test(router, worker):
        """Another one's look is answered, its own one is not."""
        front = router.front
        asked = []
        ask = front.client.ask

        async def note(url, call, **options):
            asked.append(call)
            return await ask(url, call, **options)

        front.client.ask = note
        await front.health.look(front.workers.all[0])
        own = {name.decode(): value.decode() for name, value in asked[0].headers}
        assert (await router.get("/health", headers=own)).status_code == 503
        others = dict.fromkeys(own, "another router")
        assert others and (await router.get("/health", headers=others)).status_code == 200

    run(test)


def test_a_router_that_is_about_to_stop_takes_no_new_calls():
    async def test(router, worker):
        router.front.is_draining = True
        assert (await router.get("/health")).status_code == 200
        assert (await router.get("/health/ready")).status_code == 503
        assert (await router.post("/generate", json={})).status_code == 503
        assert worker.calls == []

    run(test)


def test_metrics_tell_of_calls_and_workers():
    async def test(router, worker):
        await router.post("/generate", json={})
        text = (await router.get("/metrics")).text
        assert f'sglite_router:decisions_total{{worker="{worker.url}"}} 1.0' in text
        assert f'sglite_router:worker_up{{worker="{worker.url}"}} 1.0' in text
        assert 'endpoint="/generate",status_class="2xx"' in text

    run(test)


def test_metrics_can_be_off():
    async def test(router, worker):
        assert (await router.get("/metrics")).status_code == 404

    run(test, enable_metrics=False)
