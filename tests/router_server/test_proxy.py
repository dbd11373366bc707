"""Calls through a router over real sockets to workers that fail in every way."""

import asyncio
import json

import pytest

from tests.router_server.fake_workers import DONE, STREAM, router_with
from tests.server.asgi import RawCall, events

ASK = {"text": "Hi", "sampling_params": {"max_new_tokens": 3}}


def run(test, num_workers=2, **options):
    async def main():
        async with router_with(num_workers, **options) as (router, *workers):
            await asyncio.wait_for(test(router, *workers), 5)

    asyncio.run(main())


def names(answers):
    return [answer.json()["text"] for answer in answers]


def stream_call(router, path="/generate"):
    call = RawCall(router.app, path)
    call.push(json.dumps({**ASK, "stream": True}).encode())
    return call


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


# -- what passes -----------------------------------------------------------------------------------


def test_calls_go_to_the_workers_in_turn_and_come_back_as_they_were_answered():
    async def test(router, first, second):
        answers = [await router.post("/generate", json=ASK) for _ in range(4)]
        assert names(answers) == ["w0", "w1", "w0", "w1"]
        assert answers[0].headers["x-own"] == "1" and "server" not in answers[0].headers
        assert first.calls[0][3] == answers[0].request.content

    run(test)


def test_the_workers_get_the_clients_path_query_and_headers_but_not_what_is_the_hops_own():
    async def test(router, worker):
        headers = {
            "X-Request-Id": "mine", "X-Other": "1", "Connection": "X-Secret", "X-Secret": "s",
            "Authorization": "Bearer theirs", "X-Forwarded-For": "10.0.0.1", "Cookie": "c",
        }  # fmt: skip
        answer = await router.post("/v1/completions?a=%2F", json=ASK, headers=headers)
        _, target, seen, body = worker.calls[0]
        assert target == "/v1/completions?a=%2F" and json.loads(body) == ASK
        assert seen["x-request-id"] == answer.headers["x-request-id"] == "mine"
        assert seen["x-other"] == "1" and seen["authorization"] == "Bearer theirs"
        assert seen["content-length"] == str(len(body)) and seen["host"] == worker.url[7:]
        assert not {"x-secret", "x-forwarded-for", "cookie"} & seen.keys()

    run(test, 1)


def test_streams_pass_unchanged():
    async def test(router, worker):
        answer = await router.post("/generate", json={**ASK, "stream": True})
        assert answer.content == STREAM + DONE
        assert answer.headers["content-type"] == "text/event-stream"
        assert "keep-alive" not in answer.headers

    run(test, 1)


def test_bodies_that_are_no_json_and_answers_that_are_errors_pass_too():
    async def test(router, worker):
        worker.status = 400
        answer = await router.post("/generate", content=b"")
        assert (answer.status_code, answer.json()["error"]["message"]) == (400, "w0")

    run(test, 1)


def test_redirects_are_handed_back_not_followed():
    async def test(router, first, second):
        first.status = 307
        answer = await router.post("/generate", json=ASK)
        assert answer.status_code == 307 and len(first.calls) == 1 and not second.calls

    run(test)


# -- workers that fail before they answer ----------------------------------------------------------


def test_a_worker_that_is_gone_is_taken_out_and_its_call_goes_elsewhere():
    async def test(router, first, second):
        await first.die()
        answers = [await router.post("/generate", json=ASK) for _ in range(3)]
        assert names(answers) == ["w1"] * 3
        assert [worker.state for worker in router.front.workers.all] == ["down", "up"]

    run(test)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_worker_without_room_is_left_for_another(status):
    async def test(router, first, second):
        first.status = status
        assert names([await router.post("/generate", json=ASK)]) == ["w1"]
        assert len(first.calls) == 1
        second.status = status
        answer = await router.post("/generate", json=ASK)
        assert answer.status_code == status and len(first.calls) + len(second.calls) == 4

    run(test)


def test_a_call_is_sent_to_so_many_workers_and_no_more():
    async def test(router, *workers):
        for worker in workers:
            worker.status = 503
        assert (await router.post("/generate", json=ASK)).status_code == 503
        assert sum(len(worker.calls) for worker in workers) == 2

    run(test, 3, max_tries=2)


def test_a_worker_that_dies_before_its_answer_begins_is_no_loss():
    async def test(router, first, second):
        first.gate.clear()
        asked = asyncio.ensure_future(router.post("/generate", json={**ASK, "stream": True}))
        await first.arrived.wait()
        await first.die()
        assert (await asked).content == STREAM + DONE
        assert len(second.calls) == 1

    run(test)


def test_without_any_worker_there_is_a_503():
    async def test(router, worker):
        await worker.die()
        for _ in range(2):
            answer = await router.post("/generate", json=ASK)
            assert answer.status_code == 503 and "retry-after" in answer.headers
            assert worker.url not in answer.text

    run(test, 1)


# -- workers that fail in the middle ---------------------------------------------------------------


def test_a_stream_that_breaks_ends_with_an_error_event():
    async def test(router, worker):
        worker.breaks = True
        answer = await router.post("/generate", json={**ASK, "stream": True})
        assert answer.content.startswith(STREAM)
        *_, error, done = events(answer.text)
        assert done == "[DONE]" and error["error"]["code"] == "worker_lost"
        assert error["error"]["retryable"] is True

    run(test, 1)


def test_the_streaming_dialect_gets_its_own_last_words():
    async def test(router, worker):
        worker.breaks, worker.media_type = True, "application/x-ndjson"
        answer = await router.post("/generate", json={**ASK, "stream": True})
        error, done = answer.text.splitlines()[-2:]
        assert json.loads(error)["error"]["code"] == "worker_lost"
        assert json.loads(done) == {"event": "done"}

    run(test, 1)


def test_any_other_answer_that_breaks_off_ends_without_its_last_byte():
    async def test(router, worker):
        worker.breaks, worker.media_type = True, "application/json"
        call = stream_call(router)
        await call.task
        assert call.body == STREAM and call.sent[-1]["more_body"] is True

    run(test, 1)


def test_calls_of_a_worker_that_no_longer_answers_looks_are_told():
    async def test(router, worker):
        worker.endless = True
        call = stream_call(router)
        await until(lambda: call.body)
        (known,) = router.front.workers.all
        await worker_goes_silent(router, worker, known)
        await call.task
        assert b'"worker_lost"' in call.body and call.body.endswith(DONE)

    async def worker_goes_silent(router, worker, known):
        url, known.url = known.url, "http://127.0.0.1:9"
        for _ in range(3):
            await router.front.health.look(known)
        known.url = url

    run(test, 1)


# -- clients that leave ----------------------------------------------------------------------------


def test_a_client_that_leaves_ends_the_workers_call():
    async def test(router, worker):
        worker.endless = True
        call = stream_call(router)
        await until(lambda: call.body)
        call.disconnect()
        await call.task
        await worker.left.wait()
        assert router.front.workers.loads()[0].num_requests == 0

    run(test, 1)


def test_a_client_that_leaves_before_the_answer_does_too():
    async def test(router, worker):
        worker.gate.clear()
        call = stream_call(router)
        await worker.arrived.wait()
        call.disconnect()
        await call.task
        await worker.left.wait()
        assert call.sent == [] and router.front.workers.loads()[0].num_requests == 0

    run(test, 1)


def test_a_client_that_does_not_read_stops_the_worker():
    async def test(router, worker):
        worker.endless = True
        call = stream_call(router)
        call.blocks_after = 1
        await call.task
        await worker.left.wait()
        assert call.aborted

    run(test, 1, stall_timeout_s=0.05)


# -- limits ----------------------------------------------------------------------------------------


def test_calls_beyond_the_limit_wait_in_line_and_beyond_that_are_refused():
    async def test(router, worker):
        worker.gate.clear()
        asked = {asyncio.ensure_future(router.post("/generate", json=ASK)) for _ in range(3)}
        (refused,), others = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert refused.result().status_code == 429
        assert router.front.workers.num_waiting == 1
        await worker.arrived.wait()
        assert len(worker.calls) == 1
        worker.gate.set()
        assert names(await asyncio.gather(*others)) == ["w0", "w0"]

    run(test, 1, max_inflight_per_engine=1, max_waiting_requests=1)


def test_who_waits_and_leaves_is_forgotten():
    async def test(router, worker):
        worker.gate.clear()
        first, second = stream_call(router), stream_call(router)
        await until(lambda: router.front.workers.num_waiting == 1)
        second.disconnect()
        await second.task
        assert router.front.workers.num_waiting == 0
        worker.gate.set()
        await first.task
        assert first.body == STREAM + DONE and len(worker.calls) == 1

    run(test, 1, max_inflight_total=1)


def test_who_waits_is_told_when_the_last_worker_is_gone():
    async def test(router, worker):
        worker.gate.clear()
        asked = [asyncio.ensure_future(router.post("/generate", json=ASK)) for _ in range(2)]
        await until(lambda: router.front.workers.num_waiting == 1)
        await worker.die()
        answers = await asyncio.gather(*asked)
        assert [answer.status_code for answer in answers] == [503, 503]

    run(test, 1, max_inflight_total=1)


def test_bodies_beyond_the_servers_limit_are_refused():
    async def test(router, worker):
        answer = await router.post("/generate", content=b"x" * ((16 << 20) + 1))
        assert answer.status_code == 413 and not worker.calls

    run(test, 1)


def test_stopping_tells_every_call():
    async def test(router, worker):
        worker.gate.clear()
        waiting = stream_call(router)
        await worker.arrived.wait()
        worker.gate.set()
        worker.endless = True
        open_call = stream_call(router)
        await until(lambda: open_call.body)
        router.front.fail_open_calls(RuntimeError())
        await asyncio.gather(waiting.task, open_call.task)
        assert b'"error"' in open_call.body

    run(test, 1)
