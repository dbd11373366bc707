"""Requests and answers have the same indices, and clients' ids lead to the engine's."""

from __future__ import annotations

import asyncio

import pytest

from sglite.errors import RequestError
from sglite.generation import GenerationChunk
from sglite.server.native.opening import open_call
from sglite.server.native.request import read_call
from tests.server.fake_engine import make_front


def opened(prompts, ignored=(), **body):
    async def main():
        front = make_front()
        call = read_call(body, front.limits, max_answers=100)
        return open_call(front, call, prompts, list(ignored))

    return asyncio.run(main())


def chunk(index, *token_ids):
    return GenerationChunk(request_id="x", index=index, text="t", token_ids=list(token_ids))


def test_samples_of_a_prompt_are_side_by_side():
    call = opened([[5], [6]], text=["a", "b"], sampling_params={"n": 2})
    prompts = [list(each.request.prompt_token_ids) for each in call.opened]
    assert prompts == [[5], [5], [6], [6]]
    assert [each.index for each in call.opened] == [0, 1, 2, 3]
    assert len(call.answers) == 4
    assert call.names == []


def test_clients_ids_lead_to_the_engines():
    call = opened([[5], [6]], text=["a", "b"], sampling_params=[{"n": 2}, {}], rid="job")
    first, second, third = [each.request.request_id for each in call.opened]
    assert set(call.names) == {
        ("job", first),
        ("job", second),
        ("job", third),
        ("job_0", first),
        ("job_0", second),
        ("job_0-0", first),
        ("job_0-1", second),
        ("job_1", third),
    }


def test_events_are_one_for_each_answer_with_news():
    call = opened([[5], [6]], ["new"], text=["a", "b"])
    events = call.take_events([chunk(1, 7), chunk(0, 8), chunk(1, 9)])
    assert [event["index"] for event in events] == [1, 0]
    assert bytes(events[0]["output_ids"]) == b"[7,9]"
    assert events[0]["meta_info"]["ignored_fields"] == ["new"]


def test_a_single_answer_has_no_index():
    (event,) = opened([[5]], text="a").take_events([chunk(0, 7)])
    assert "index" not in event
    assert "ignored_fields" not in event["meta_info"]


def test_an_error_in_the_prompt_names_the_field_it_came_in():
    with pytest.raises(RequestError) as caught:
        opened([[]], input_ids=[])
    assert caught.value.param == "input_ids"
