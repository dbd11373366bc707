"""Cumulative events are the whole answer so far, incremental ones what is new."""

from __future__ import annotations

import json

import pytest

from sglite.generation import GenerationChunk, OpenGeneration
from sglite.request import LogprobParams, Request, TokenLogprobs
from sglite.server.native.stream import GrowingJson, StreamedAnswer, encode_json
from sglite.wire import TokenTexts
from tests.server.generations import generation


def opened(logprobs=None):
    request = Request(request_id="4c0", prompt_token_ids=[9] * 8, logprobs=logprobs)
    return OpenGeneration(request, 0, None)


def answer(open_generation, *, is_incremental=False, with_prompt_ids=False):
    return StreamedAnswer(
        open_generation,
        "shown",
        TokenTexts(None),
        is_incremental=is_incremental,
        with_prompt_ids=with_prompt_ids,
    )


def piece(text, token_ids, logprobs=None, finished=None):
    return GenerationChunk(
        request_id="4c0",
        index=0,
        text=text,
        token_ids=token_ids,
        logprobs=logprobs,
        finished=finished,
    )


def event(streamed):
    return json.loads(encode_json(streamed.take_event()))


PIECES = [('a"\n', [1]), ("ü🙂", [2, 3]), ("", []), ("\\z\x00", [4])]


def test_cumulative_events_hold_everything_so_far():
    streamed = answer(opened())
    text, token_ids = "", []
    for new_text, new_ids in PIECES:
        streamed.absorb(piece(new_text, new_ids))
        text, token_ids = text + new_text, token_ids + new_ids
        shown = event(streamed)
        assert (shown["text"], shown["output_ids"]) == (text, token_ids)
        assert shown["meta_info"]["completion_tokens"] == len(token_ids)
        assert shown["meta_info"]["finish_reason"] is None


def test_incremental_events_add_up_while_counters_stay_cumulative():
    streamed = answer(opened(), is_incremental=True)
    shown = []
    for new_text, new_ids in PIECES:
        streamed.absorb(piece(new_text, new_ids))
        shown.append(event(streamed))
    assert [each["text"] for each in shown] == [text for text, _ in PIECES]
    assert [each["output_ids"] for each in shown] == [ids for _, ids in PIECES]
    assert [each["meta_info"]["completion_tokens"] for each in shown] == [1, 3, 3, 4]


def test_pieces_that_came_while_nobody_read_are_one_event():
    streamed = answer(opened(), is_incremental=True)
    for new_text, new_ids in PIECES:
        streamed.absorb(piece(new_text, new_ids))
    assert event(streamed)["output_ids"] == [1, 2, 3, 4]


def test_last_event_has_reason_counts_and_timings():
    streamed = answer(opened(), with_prompt_ids=True)
    streamed.absorb(piece("x", [5], finished=generation()))
    shown = event(streamed)
    meta = shown["meta_info"]
    assert shown["prompt_token_ids"] == [9] * 8
    assert meta["id"] == "shown"
    assert meta["finish_reason"] == {"type": "stop", "matched": 5}
    assert (meta["prompt_tokens"], meta["cached_tokens"]) == (8, 4)
    assert meta["cached_tokens_details"] == {"device": 4, "host": 0}
    assert (meta["queue_time"], meta["first_token_latency"]) == (0.01, 0.1)
    assert meta["decode_throughput"] == pytest.approx(10.0)
    assert meta["response_sent_to_client_ts"] > meta["request_received_ts"] > 0


@pytest.mark.parametrize("is_incremental", [False, True])
def test_logprobs_of_both_sides(is_incremental):
    open_generation = opened(LogprobParams(start_len=7, top_num=1, token_ids=(3,)))
    streamed = answer(open_generation, is_incremental=is_incremental)
    first = TokenLogprobs(1, -0.5, ((1, -0.5),), ((3, -2.0),))
    second = TokenLogprobs(2, -0.25, ((2, -0.25),), ((3, -3.0),))
    streamed.absorb(piece("a", [1], [first]))
    meta = event(streamed)["meta_info"]
    assert meta["input_token_logprobs"] == [[None, 9, None]]
    assert meta["input_top_logprobs"] == [None]
    assert meta["output_token_logprobs"] == [[-0.5, 1, None]]
    assert meta["output_top_logprobs"] == [[[-0.5, 1, None]]]
    assert meta["output_token_ids_logprobs"] == [[[-2.0, 3, None]]]
    streamed.absorb(piece("b", [2], [second]))
    meta = event(streamed)["meta_info"]
    assert meta["output_token_logprobs_length"] == 2
    if is_incremental:
        assert meta["input_token_logprobs"] == []
        assert meta["output_token_logprobs"] == [[-0.25, 2, None]]
    else:
        assert meta["input_token_logprobs"] == [[None, 9, None]]
        assert meta["output_token_logprobs"] == [[-0.5, 1, None], [-0.25, 2, None]]


def test_no_logprob_fields_unless_asked_for():
    streamed = answer(opened())
    streamed.absorb(piece("a", [1]))
    assert not [name for name in event(streamed)["meta_info"] if "logprob" in name]


def test_growing_json_of_nothing_is_empty_json():
    assert bytes(GrowingJson(b"[]", is_incremental=False).take()) == b"[]"
    growing = GrowingJson(b'""', is_incremental=False)
    growing.extend("")
    assert bytes(growing.take()) == b'""'
