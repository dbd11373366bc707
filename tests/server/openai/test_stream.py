"""The order and the content of events, as clients that read line by line need them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from sglite.request import FinishReason, OutputBatch
from sglite.server.answer_stream import AnswerStream
from sglite.server.front import Front
from sglite.server.openai.stream import finish_fields
from tests.server.asgi import events
from tests.server.fake_engine import embedded_tokenizer
from tests.server.openai_calls import CHAT, COMPLETIONS, USER, complete, hello_world, post
from tests.test_wire import generation

USAGE = {
    "prompt_tokens": 3,
    "completion_tokens": 4,
    "total_tokens": 7,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
    "reasoning_tokens": 0,
}


def streamed(path: str, body: dict[str, Any], prepare: Any = None, **options: Any) -> list[Any]:
    """The events of a stream, without ``[DONE]``, which must be the last."""
    prompt = {"prompt": "hello"} if path == COMPLETIONS else {"messages": USER}
    answer = post(path, {**prompt, "stream": True, **body}, prepare, **options)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    values = events(answer.text)
    assert values.pop() == "[DONE]" and "[DONE]" not in values
    return values


def hi(front: Front) -> None:
    tokenizer = embedded_tokenizer()
    ids = tokenizer.encode("Hello there", add_special_tokens=False)
    end = min(tokenizer.eos_token_ids)
    front.engine.script_ids(tokenizer.encode_chat(USER), [*ids, end])


def choices(values: list[Any]) -> list[Any]:
    return [value["choices"][0] for value in values]


def test_a_completion_streams_deltas_and_its_last_one_says_why_it_ended():
    values = streamed(COMPLETIONS, {"model": "m"}, hello_world)
    assert all(each["object"] == "text_completion" and each["model"] == "m" for each in values)
    assert len({each["id"] for each in values}) == len({each["created"] for each in values}) == 1
    assert all("usage" not in each and len(each["choices"]) == 1 for each in values)
    *before, last = choices(values)
    assert "".join(each["text"] for each in [*before, last]) == " world wide"
    assert all(each["text"] and each["finish_reason"] is None for each in before)
    assert last["finish_reason"] == "stop" and last["matched_stop"] == 0


def test_a_chat_streams_its_role_its_text_and_a_last_chunk_of_its_own():
    first, *deltas, last = choices(streamed(CHAT, {}, hi))
    assert first["delta"] == {"role": "assistant", "content": ""}
    assert "".join(each["delta"]["content"] for each in deltas) == "Hello there"
    assert all(each["delta"]["content"] and each["finish_reason"] is None for each in deltas)
    assert last["delta"] == {} and last["finish_reason"] == "stop"
    assert last["matched_stop"] == 0 and last["stop_reason"] is None


def test_usage_comes_once_at_the_end_where_it_was_asked_for():
    options = {"stream_options": {"include_usage": True}}
    *before, last = streamed(COMPLETIONS, options, hello_world)
    assert all(each["usage"] is None for each in before)
    assert last["choices"] == [] and last["usage"] == USAGE
    *before, last = streamed(CHAT, options, hi)
    assert all(each["usage"] is None and each["choices"] for each in before)
    assert last["choices"] == [] and last["usage"]["completion_tokens"] == len(before) - 1


def test_continuous_usage_counts_what_was_shown():
    options = {"stream_options": {"continuous_usage_stats": True}}
    values = streamed(COMPLETIONS, options, hello_world)
    assert [each["usage"]["completion_tokens"] for each in values] == [1, 2, 3, 4]
    assert values[-1]["usage"] == USAGE
    both = {"stream_options": {"continuous_usage_stats": True, "include_usage": True}}
    *before, last = streamed(COMPLETIONS, both, hello_world)
    assert last["choices"] == [] and last["usage"] == before[-1]["usage"] == USAGE


def test_continuous_usage_is_right_where_several_tokens_come_together():
    def prepare(front: Front) -> None:
        hello_world(front)
        front.engine.tokens_per_batch = 4

    options = {"stream_options": {"continuous_usage_stats": True}}
    values = streamed(COMPLETIONS, options, prepare)
    shown = ""
    for value in values:
        shown += value["choices"][0]["text"]
        ids = embedded_tokenizer().encode(" world wide")[: value["usage"]["completion_tokens"]]
        assert embedded_tokenizer().decode(ids).startswith(shown)


def test_the_details_of_the_cache_come_with_the_usage():
    options = {"stream_options": {"include_usage": True}, "return_cached_tokens_details": True}
    last = streamed(COMPLETIONS, options, hello_world)[-1]
    assert last["sglext"] == {"cached_tokens_details": {"device": 0, "host": 0, "storage": 0}}


def test_ignored_fields_are_listed_once_in_the_first_event():
    for path in (COMPLETIONS, CHAT):
        values = streamed(path, {"frobnicate": 1})
        assert values[0]["ignored_fields"] == ["frobnicate"]
        assert all("ignored_fields" not in each for each in values[1:])


@pytest.mark.parametrize("path", [COMPLETIONS, CHAT])
def test_several_answers_interleave_with_their_index(path):
    values = streamed(path, {"n": 3, "max_tokens": 4, "ignore_eos": True})
    indices = [each["choices"][0]["index"] for each in values]
    assert set(indices) == {0, 1, 2}
    assert indices != sorted(indices)
    ends = [each for each in choices(values) if each["finish_reason"]]
    assert sorted(each["index"] for each in ends) == [0, 1, 2]
    if path == CHAT:
        roles = [each for each in choices(values) if each["delta"].get("role")]
        assert sorted(each["index"] for each in roles) == [0, 1, 2]


def test_a_stream_of_several_prompts_is_what_the_whole_answer_is():
    body = {"prompt": ["hello", "so"], "n": 2, "max_tokens": 9, "echo": True, "logprobs": 1}
    whole = complete(body)
    texts, columns = [""] * 4, [dict.fromkeys(("tokens", "token_logprobs"), ()) for _ in range(4)]
    for choice in choices(streamed(COMPLETIONS, body)):
        texts[choice["index"]] += choice["text"]
        for name in ("tokens", "token_logprobs"):
            columns[choice["index"]][name] += tuple(choice["logprobs"][name])
    assert texts == [choice["text"] for choice in whole["choices"]]
    for choice in whole["choices"]:
        for name, streamed_column in columns[choice["index"]].items():
            assert list(streamed_column) == choice["logprobs"][name]


def test_an_echoed_prompt_is_in_the_first_event():
    first, *_ = choices(streamed(COMPLETIONS, {"echo": True}, hello_world))
    assert first["text"] == "hello world"
    only = choices(streamed(COMPLETIONS, {"echo": True, "max_tokens": 0}))
    assert [each["text"] for each in only] == ["hello"]
    assert only[0]["finish_reason"] == "length"


def test_offsets_in_a_stream_point_into_the_whole_text():
    values = choices(streamed(COMPLETIONS, {"echo": True, "logprobs": 1}, hello_world))
    text = "".join(each["text"] for each in values)
    for choice in values:
        columns = choice["logprobs"]
        for token, offset in zip(columns["tokens"], columns["text_offset"], strict=True):
            assert token.startswith("<|") or text[offset:].startswith(token)


def test_chat_logprobs_come_with_every_token():
    values = choices(streamed(CHAT, {"logprobs": True, "top_logprobs": 1}, hi))
    shown = [value["logprobs"]["content"] for value in values if value["logprobs"]]
    content = [each for part in shown for each in part]
    assert len(content) == len(embedded_tokenizer().encode("Hello there")) + 1


def test_half_characters_make_no_event():
    def prepare(front: Front) -> None:
        front.engine.script("hello", "🙂")

    values = choices(streamed(COMPLETIONS, {}, prepare))
    assert [each["text"] for each in values] == ["🙂", ""]


def test_a_stop_string_is_never_shown_in_part():
    values = choices(streamed(COMPLETIONS, {"stop": "ld w"}, hello_world))
    assert "".join(each["text"] for each in values) == " wor"
    assert values[-1]["matched_stop"] == values[-1]["stop_reason"] == "ld w"


def test_stream_interval_makes_fewer_events():
    body = {"max_tokens": 8, "ignore_eos": True}
    few = streamed(COMPLETIONS, {**body, "stream_interval": 4})
    many = streamed(COMPLETIONS, {**body, "stream_interval": 1})
    assert len(few) < len(many)


def failing_after_two_tokens(front: Front) -> None:
    """The request fails as the engine's own requests do."""
    hello_world(front)
    finish = front.engine._finish

    def fail(request_id: str, reason: FinishReason, *rest: Any) -> None:
        finish(request_id, FinishReason.ERROR, None, "a secret cause", 6)

    front.engine._finish = fail


@pytest.mark.parametrize("path", [COMPLETIONS, CHAT])
def test_a_request_that_fails_ends_its_stream_with_an_error_event(path):
    values = streamed(path, {"max_tokens": 3}, failing_after_two_tokens)
    assert "error" in values[-1] and all("error" not in each for each in values[:-1])
    assert values[-1]["error"]["code"] == "generation_failed"
    assert "secret" not in json.dumps(values)


@pytest.mark.parametrize("path", [COMPLETIONS, CHAT])
def test_a_request_that_fails_is_a_500_that_says_nothing(path):
    body = {"prompt": "hello", "messages": USER, "max_tokens": 3}
    answer = post(path, body, failing_after_two_tokens)
    assert answer.status_code == 500
    assert "secret" not in answer.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [COMPLETIONS, CHAT])
def test_a_full_queue_is_a_429_also_for_a_stream(path, stream):
    def prepare(front: Front) -> None:
        front.engine.capacity = 1

    body = {"prompt": "hello", "messages": USER, "n": 2, "stream": stream}
    answer = post(path, body, prepare)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("path", [COMPLETIONS, CHAT])
def test_a_dead_engine_ends_an_open_stream_with_an_error_event(path):
    def prepare(front: Front) -> None:
        deliver = AnswerStream.deliver

        def deliver_and_die(self: AnswerStream, batch: OutputBatch) -> None:
            deliver(self, batch)
            if batch.tokens and front.engine.is_alive:
                asyncio.get_running_loop().call_soon(front.engine.die)

        patch.setattr(AnswerStream, "deliver", deliver_and_die)

    with pytest.MonkeyPatch.context() as patch:
        values = streamed(path, {"max_tokens": 100, "ignore_eos": True}, prepare)
    assert len(values) > 1
    assert values[-1]["error"]["code"] == "engine_dead"


@pytest.mark.parametrize(("num_jumped", "told"), [(0, {}), (7, {"jumped_tokens": 7})])
def test_a_choice_tells_how_many_tokens_were_jumped(num_jumped, told):
    fields = finish_fields(generation(num_jumped_tokens=num_jumped), frozenset({2}))
    assert {name: fields[name] for name in fields if name == "jumped_tokens"} == told
