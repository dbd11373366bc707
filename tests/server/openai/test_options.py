"""Every field that completions and chats share: its good values arrive, its bad ones are named."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sglite.request import Request
from sglite.server.front import Front
from tests.server.openai_calls import CHAT, COMPLETIONS, USER, post, refused, with_server

ROUTES = [COMPLETIONS, CHAT]
NOT_NUMBERS = ["1", True, [], {}, "x"]
BEYOND = [2**31, 2**63, 10**20, -(10**20)]

BAD: dict[str, list[Any]] = {
    "max_tokens": [*NOT_NUMBERS, *BEYOND, -1, 1.5],
    "min_tokens": [*NOT_NUMBERS, *BEYOND, -1, 1.5, 900],
    "temperature": [*NOT_NUMBERS, -1, -0.1, -(10**20), 10**400],
    "top_p": [*NOT_NUMBERS, *BEYOND, 0, -1, 1.1],
    "top_k": [*NOT_NUMBERS, *BEYOND, 0, -2, 1.5],
    "min_p": [*NOT_NUMBERS, *BEYOND, -0.1, 1.1],
    "frequency_penalty": [*NOT_NUMBERS, *BEYOND, -2.1, 2.1],
    "presence_penalty": [*NOT_NUMBERS, *BEYOND, -2.1, 2.1],
    "repetition_penalty": [*NOT_NUMBERS, *BEYOND, 0, -1, 2.1],
    "seed": [*NOT_NUMBERS, 2**63, 10**20, -(2**63) - 1, 1.5],
    "n": [*NOT_NUMBERS, *BEYOND, 0, -1, 129, 1.5],
    "priority": [*NOT_NUMBERS, *BEYOND, 1.5],
    "stream_interval": [*NOT_NUMBERS, *BEYOND, 0, -1],
    "logit_bias": ["1", True, [], 1, {"-1": 0}, {"x": 0}, {"1": "1"}, {"4096": 1}, {"1": None}],
    "stop": [1, True, {}, "", [""], ["a"] * 17, ["x" * 257], [1], "x" * (1 << 20)],
    "stop_regex": [1, True, {}, "", ["("], ["a" * 257]],
    "stop_token_ids": ["1", True, {}, [-1], [4096], [2**31], ["1"], [True], [1] * 1025],
    "ignore_eos": [0, 1, "true", [], {}],
    "no_stop_trim": [0, "true", []],
    "include_stop_str_in_output": [0, "true", []],
    "skip_special_tokens": [0, "true", []],
    "stream": [0, 1, "true", [], {}],
    "stream_options": [0, True, "x", []],
    "model": [1, True, [], {}, "x" * (1 << 20)],
    "user": [1, True, [], {}, "x" * (1 << 20)],
    "metadata": [1, True, "x", []],
    "rid": [1, True, [], {}, "", "x" * 257],
    "request_id": [1, True, [], {}],
    "cache_salt": [1, True, [], {}, "", "x" * 257],
    "extra_key": [1, True, [], {}, "", "x" * 257],
    "return_cached_tokens_details": [0, "true"],
}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("field", BAD)
def test_every_bad_value_is_a_400_that_names_the_field(path, field):
    prompt = {"prompt": "hello"} if path == COMPLETIONS else {"messages": USER}

    async def use(http: httpx.AsyncClient, front: Front) -> None:
        for value in BAD[field]:
            body = {**prompt, "max_tokens": 5, field: value}
            answer = await http.post(path, json=body)
            assert answer.status_code == 400, (value, answer.text)
            assert answer.json()["error"]["param"] == field, (value, answer.text)
            assert len(answer.text) < 2000
        assert not front.engine.requests

    with_server(use)


GOOD: dict[str, list[Any]] = {
    "min_tokens": [0, 3],
    "temperature": [0, 0.0, 1, 1.5, 100],
    "top_p": [0.1, 1],
    "top_k": [-1, 1, 50],
    "min_p": [0, 0.5, 1],
    "frequency_penalty": [-2, 0, 2.0],
    "presence_penalty": [-2, 0, 2.0],
    "repetition_penalty": [0.5, 2],
    "seed": [0, -5, 2**63 - 1],
    "n": [1, 3],
    "priority": [-5, 0, 5],
    "stop": ["a", ["a", "b"], []],
    "stop_token_ids": [[], [5, 6]],
    "logit_bias": [{}, {"5": -100, "6": 100.0}],
    "ignore_eos": [True, False],
    "user": ["somebody", ""],
    "metadata": [{}, {"a": "b"}],
    "model": ["anything", ""],
    "cache_salt": ["s"],
    "service_tier": ["auto"],
    "prompt_cache_key": ["k"],
    "safety_identifier": ["s"],
}


@pytest.mark.parametrize("path", ROUTES)
def test_good_values_and_null_pass_everywhere(path):
    prompt = {"prompt": "hello"} if path == COMPLETIONS else {"messages": USER}

    async def use(http: httpx.AsyncClient, front: Front) -> None:
        for field, values in {**{name: [] for name in BAD}, **GOOD}.items():
            for value in [*values, None]:
                answer = await http.post(path, json={**prompt, "max_tokens": 5, field: value})
                assert answer.status_code == 200, (field, value, answer.text)
                assert "ignored_fields" not in answer.json(), field

    with_server(use)


def requests_of(path: str, body: dict[str, Any], **options: Any) -> list[Request]:
    """What the engine was asked for."""
    prompt = {"prompt": "hello"} if path == COMPLETIONS else {"messages": USER}

    async def use(http: httpx.AsyncClient, front: Front) -> list[Request]:
        answer = await http.post(path, json={**prompt, **body})
        assert answer.status_code == 200, answer.text
        return front.engine.requests

    requests = with_server(use, **options)
    assert isinstance(requests, list)
    return requests


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("stream", [True, False, None])
def test_the_engine_knows_whether_an_answer_is_streamed(path, stream):
    made = requests_of(path, {"max_tokens": 2, "n": 2, "stream": stream})
    assert [request.is_streamed for request in made] == [bool(stream)] * 2


@pytest.mark.parametrize("path", ROUTES)
def test_every_sampling_field_reaches_the_engine_under_its_own_name(path):
    fields = {
        "temperature": 0.7,
        "top_p": 0.8,
        "top_k": 7,
        "min_p": 0.1,
        "frequency_penalty": 0.2,
        "presence_penalty": 0.3,
        "repetition_penalty": 1.1,
        "logit_bias": {"5": 2},
        "stop": "zzz",
        "stop_regex": ["z+"],
        "stop_token_ids": [9],
        "ignore_eos": True,
        "no_stop_trim": True,
        "skip_special_tokens": False,
        "spaces_between_special_tokens": False,
        "stream_interval": 2,
    }
    named = {"max_tokens": 6, "min_tokens": 2, "seed": 11}
    [request] = requests_of(path, {**fields, **named, "priority": 3, "cache_salt": "s"})
    sampling = request.sampling
    for name, value in fields.items():
        arrived = {"logit_bias": {5: 2.0}, "stop": ("zzz",), "stop_regex": ("z+",)}.get(name, value)
        wanted = tuple(arrived) if isinstance(arrived, list) else arrived
        assert getattr(sampling, name) == wanted, name
    assert (sampling.max_new_tokens, sampling.min_new_tokens, sampling.sampling_seed) == (6, 2, 11)
    assert (request.max_new_tokens, request.seed, request.priority) == (6, 11, 3)
    assert request.namespace == "salt s"


def test_include_stop_str_in_output_is_vllms_word_for_no_stop_trim():
    [request] = requests_of(COMPLETIONS, {"include_stop_str_in_output": True})
    assert request.sampling.no_stop_trim


def test_the_servers_stream_interval_holds_where_the_call_has_none():
    [request] = requests_of(COMPLETIONS, {}, stream_interval=4)
    assert request.sampling.stream_interval == 4
    [request] = requests_of(COMPLETIONS, {"stream_interval": 2}, stream_interval=4)
    assert request.sampling.stream_interval == 2


@pytest.mark.parametrize("path", ROUTES)
def test_a_limit_beyond_the_context_is_refused_in_openais_words(path):
    error = refused(path, {"max_tokens": 2000})
    assert error["param"] == "max_tokens"
    assert "max_tokens (2,000)" in error["message"]
    assert "max_new_tokens" not in error["message"]


@pytest.mark.parametrize("path", ROUTES)
def test_stream_options_need_a_stream(path):
    for name in ("include_usage", "continuous_usage_stats"):
        error = refused(path, {"stream_options": {name: True}})
        assert error["param"] == "stream_options"
        error = refused(path, {"stream": True, "stream_options": {name: "yes"}})
        assert error["param"] == f"stream_options.{name}"
    answer = post(path, {"prompt": "hello", "messages": USER, "stream_options": {}})
    assert answer.status_code == 200


UNSUPPORTED: dict[str, tuple[Any, list[Any]]] = {
    "use_beam_search": (True, [None, False]),
    "allowed_token_ids": ([1], [None, []]),
    "bad_words": (["a"], [None, []]),
    "lora_path": ("adapter", [None, ""]),
    "custom_logit_processor": ("x", [None]),
    "return_hidden_states": (True, [None, False]),
    "prompt_logprobs": (1, [None]),
    "length_penalty": (2.0, [None, 1.0, 1]),
    "store": (True, [None, False]),
}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("field", UNSUPPORTED)
def test_what_is_not_supported_is_named_unless_it_asks_for_nothing(path, field):
    asking, harmless = UNSUPPORTED[field]
    error = refused(path, {field: asking})
    assert error["param"] == field and "not supported" in error["message"]
    for value in harmless:
        answer = post(path, {"prompt": "hello", "messages": USER, "max_tokens": 2, field: value})
        assert answer.status_code == 200, (value, answer.text)
        assert field not in answer.json().get("ignored_fields", [])


@pytest.mark.parametrize("path", ROUTES)
def test_unknown_fields_are_listed_and_a_strict_call_refuses_them(path):
    body = {"prompt": "hello", "messages": USER, "max_tokens": 2, "frobnicate": 1}
    known, other = ("prompt", "messages") if path == COMPLETIONS else ("messages", "prompt")
    answer = post(path, body)
    assert set(answer.json()["ignored_fields"]) == {"frobnicate", other}
    strict = {known: body[known], "frobnicate": 1}
    answer = post(path, strict, headers={"X-Strict": "1"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "frobnicate"


@pytest.mark.parametrize("path", ROUTES)
def test_the_id_is_random_or_the_clients_own(path):
    prefix = "cmpl-" if path == COMPLETIONS else "chatcmpl-"
    body = {"prompt": "hello", "messages": USER, "max_tokens": 2}
    first, second = (post(path, body).json()["id"] for _ in range(2))
    assert first.startswith(prefix) and second.startswith(prefix) and first != second
    assert post(path, {**body, "rid": "mine"}).json()["id"] == "mine"
    [request] = requests_of(path, {"rid": "mine", "max_tokens": 2})
    assert "mine" not in request.request_id


@pytest.mark.parametrize("path", ROUTES)
def test_the_model_is_echoed_and_a_strict_server_knows_its_own_only(path):
    body = {"prompt": "hello", "messages": USER, "max_tokens": 2}
    assert post(path, {**body, "model": "any"}).json()["model"] == "any"
    strict = {"served_model_name": "mine", "strict_model_name": True}
    assert post(path, {**body, "model": "mine"}, **strict).json()["model"] == "mine"
    assert post(path, body, **strict).json()["model"] == "mine"
    error = refused(path, {"model": "any"}, status=404, **strict)
    assert (error["code"], error["param"]) == ("model_not_found", "model")


def test_stop_strings_without_a_tokenizer_are_refused():
    body = {"prompt": [5, 6], "stop": "a"}
    error = refused(COMPLETIONS, body, skip_tokenizer_init=True)
    assert error["param"] == "stop"
