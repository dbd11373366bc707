import asyncio

from tests.router_server.fake_workers import router_with

ADMIN = {"Authorization": "Bearer a"}


def run(test, num_workers=2, **options):
    async def main():
        async with router_with(num_workers, **options) as (router, *workers):
            await asyncio.wait_for(test(router, *workers), 10)

    asyncio.run(main())


def test_control_calls_go_to_every_worker_with_the_admin_key_for_workers(tmp_path):
    file = tmp_path / "admin"
    file.write_text("wa")

    async def test(router, first, second):
        answer = await router.post("/flush_cache?timeout=1", json={}, headers=ADMIN)
        assert (answer.status_code, answer.text) == (200, "Cache flushed.\n")
        for worker in (first, second):
            ((method, target, headers, body),) = worker.calls
            assert (method, target, body) == ("POST", "/flush_cache?timeout=1", b"{}")
            assert headers["authorization"] == "Bearer wa"

    run(test, admin_api_key="a", worker_api_key="w", worker_admin_api_key_file=str(file))


def test_control_is_for_this_machine_where_there_is_no_admin_key():
    async def test(router, first, second):
        assert (await router.post("/flush_cache")).status_code == 403
        assert (await router.post("/abort_request", json={"abort_all": True})).status_code == 403
        assert (await router.post("/abort_request", json={"rid": "x"})).status_code == 200
        assert first.paths == second.paths == ["/abort_request"]

    run(test, peer=("10.0.0.1", 1))


def test_one_workers_refusal_is_the_answer():
    async def test(router, first, second):
        second.status = 400
        answer = await router.post("/flush_cache")
        assert answer.status_code == 400 and "w1" in answer.text

    run(test)


def test_one_worker_that_fails_is_told_without_its_address():
    async def test(router, first, second):
        await second.die()
        answer = await router.post("/pause_generation", json={})
        assert answer.status_code == 503 and "1 of 2 workers failed" in answer.text
        assert second.url not in answer.text and first.paths == ["/pause_generation"]

    run(test)


def test_without_a_worker_there_is_nobody_to_ask():
    async def test(router):
        assert (await router.post("/flush_cache")).status_code == 503
        info = (await router.get("/server_info")).json()
        assert info["workers"] == info["internal_states"] == []
        assert (await router.get("/get_load")).json() == []

    run(test, 0)


def test_server_info_is_the_first_workers_with_the_states_of_all_and_without_secrets():
    async def test(router, first, second):
        for path in ("/server_info", "/get_server_info"):
            info = (await router.get(path)).json()
            assert info["internal_states"] == [{"name": "w0"}, {"name": "w1"}]
            assert info["model_path"] == "m" and "api_key" not in info
            assert [worker["state"] for worker in info["workers"]] == ["up", "up"]
            assert first.url not in str(info)

    run(test)


def test_a_worker_that_says_nothing_useful_is_left_out():
    async def test(router, first, second):
        first.status = 500
        info = (await router.get("/server_info")).json()
        assert info["internal_states"] == [{"name": "w1"}] and len(info["workers"]) == 2

    run(test)


def test_loads_are_those_of_all_workers():
    async def test(router, first, second):
        assert (await router.get("/get_load")).json() == [{"dp_rank": 0, "num_reqs": 1}] * 2

    run(test)
