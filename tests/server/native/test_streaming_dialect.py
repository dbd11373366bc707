"""A body with a prompt is answered by lines: deltas of text, then done."""

from __future__ import annotations

import asyncio
import json

import pytest

from sglite.server.app import build_app
from sglite.server.native import generate as native
from tests.server.asgi import RawCall, client
from tests.server.fake_engine import make_front


def post(body, **options):
    async def main():
        front = make_front(**options)
        async with client(build_app(front, [native])) as http:
            return await http.post("/generate", json=body)

    return asyncio.run(main())


def lines(response):
    assert response.text.endswith("\n")
    return [json.loads(line) for line in response.text.splitlines()]


def test_deltas_then_done():
    body = {"prompt": "Hello there", "stream": True, "max_new_tokens": 3, "ignore_eos": True}
    response = post(body)
    assert response.headers["content-type"].startswith("application/x-ndjson")
    *deltas, done = lines(response)
    assert "".join(each["text_delta"] for each in deltas) == "Hello thereHello"
    assert done == {"event": "done", "finish_reason": "length"}


def test_stream_is_what_there_is():
    assert lines(post({"prompt": "a", "max_new_tokens": 1}))[-1]["event"] == "done"
    assert post({"prompt": "a", "stream": False}).json()["error"]["param"] == "stream"


def test_its_requests_are_streamed():
    async def main():
        front = make_front()
        async with client(build_app(front, [native])) as http:
            await http.post("/generate", json={"prompt": "a", "max_new_tokens": 1})
        return front.engine.requests

    (request,) = asyncio.run(main())
    assert request.is_streamed


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ["a"]}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "a", "n": 2}, "n"),
        ({"prompt": "a", "temperature": -1}, "temperature"),
        ({"prompt": "a", "regex": 5}, "regex"),
        ({"prompt": "a", "lora_path": "x"}, "lora_path"),
        ({"prompt": "a", "timeout": 0}, "timeout"),
    ],
)
def test_bad_fields_are_named(body, param):
    response = post(body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_unknown_fields_are_listed_at_the_end():
    assert lines(post({"prompt": "a", "max_new_tokens": 1, "x": 1}))[-1]["ignored_fields"] == ["x"]


def test_text_beside_the_prompt_makes_it_sglangs():
    answer = post({"prompt": "a", "text": "a", "sampling_params": {"max_new_tokens": 1}}).json()
    assert answer["meta_info"]["ignored_fields"] == ["prompt"]


def test_a_fault_in_the_middle_is_told_and_ends_the_stream():
    async def main():
        front = make_front()
        call = RawCall(build_app(front, [native]), "/generate")
        call.push(json.dumps({"prompt": "a b", "ignore_eos": True}).encode())
        while not call.body:
            await asyncio.sleep(0)
        front.engine.die()
        await call.task
        return [json.loads(line) for line in call.body.decode().splitlines()]

    *_, error, done = asyncio.run(main())
    assert error["error"]["code"] == "engine_dead"
    assert done == {"event": "done"}
