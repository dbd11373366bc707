"""/generate and /abort_request over ASGI: every field of SGLang's, and every bad value a 400."""

from __future__ import annotations

import asyncio
import itertools
import json

import pytest

from sglite import LLM
from sglite.server.app import build_app
from sglite.server.native import generate as native
from tests.server.asgi import RawCall, client, events
from tests.server.fake_engine import make_front
from tests.server.llm_front import front_of

SHORT = {"max_new_tokens": 3, "ignore_eos": True}


def run(scenario, **options):
    """Run ``await scenario(front, http)`` against a fresh server."""

    async def main():
        front = make_front(**options)
        async with client(build_app(front, [native])) as http:
            return await scenario(front, http)

    return asyncio.run(main())


def post(body, **options):
    """The answer to one call."""

    async def scenario(front, http):
        return await http.post("/generate", json=body)

    return run(scenario, **options)


def stream(body, **options):
    """The events of one call, without the [DONE] that has to be the last."""
    response = post({**body, "stream": True}, **options)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    values = events(response.text)
    assert values[-1] == "[DONE]"
    return values[:-1]


# -- grammars and thoughts -------------------------------------------------------------------------


def sampled(body, **options):
    """The engine's request for a body."""

    async def scenario(front, http):
        response = await http.post("/generate", json={"text": "Hi", **body})
        assert response.status_code == 200, response.text
        return front.engine.requests[0]

    return run(scenario, **options)


def test_a_grammar_reaches_the_engine():
    schema = {"type": "object"}
    request = sampled({"sampling_params": {**SHORT, "json_schema": schema}})
    assert request.sampling.grammar == ("json_schema", '{"type":"object"}', False)


def test_thoughts_are_those_of_the_prompt_or_demanded():
    assert sampled({"text": "<|im_start|>assistant\n<think>\n"}).thinking.is_open
    assert not sampled({}).thinking.is_open
    # A grammar holds from the first token on, unless the call says that thoughts come first.
    grammar = {"sampling_params": {"regex": "a+"}}
    assert sampled(grammar).thinking is None
    assert sampled({**grammar, "require_reasoning": True}).thinking.is_open
    assert sampled({"max_thinking_tokens": 3}).sampling.max_thinking_tokens == 3


@pytest.mark.parametrize("body", [{"require_reasoning": True}, {"max_thinking_tokens": 3}])
def test_a_model_without_thoughts_cannot_be_asked_for_them(body):
    response = post({"text": "Hi", **body}, reasoning_parser="none")
    assert response.status_code == 400
    assert response.json()["error"]["param"] in body


def test_tokens_of_thought_are_counted_whole_and_streamed():
    body = {"text": "a<think>b", "sampling_params": {"max_new_tokens": 4, "ignore_eos": True}}
    whole = post({**body, "require_reasoning": True}).json()
    assert whole["meta_info"]["reasoning_tokens"] == 4 and whole["meta_info"]["jumped_tokens"] == 0
    counts = [
        each["meta_info"]["reasoning_tokens"]
        for each in stream({**body, "require_reasoning": True})
    ]
    assert counts[-1] == 4 and counts == sorted(counts)


# -- answers ---------------------------------------------------------------------------------------


def test_one_prompt_is_one_object():
    answer = post({"text": "Hello there", "sampling_params": SHORT}).json()
    meta = answer["meta_info"]
    assert answer["text"] == "Hello thereHello"
    assert len(answer["output_ids"]) == meta["completion_tokens"] == 3
    assert meta["finish_reason"] == {"type": "length", "length": 3}
    assert meta["prompt_tokens"] == 2
    assert meta["cached_tokens"] == 0
    assert meta["e2e_latency"] > 0
    assert "ignored_fields" not in meta
    assert not [name for name in meta if "logprob" in name]


def test_put_is_post_and_ids_are_as_good_as_text():
    async def scenario(front, http):
        ids = front.tokenizer.encode("Hello there")
        by_ids = await http.put("/generate", json={"input_ids": ids, "sampling_params": SHORT})
        by_text = await http.post(
            "/generate", json={"text": "Hello there", "sampling_params": SHORT}
        )
        return by_ids.json(), by_text.json()

    by_ids, by_text = run(scenario)
    assert by_ids["text"] == by_text["text"]
    assert by_ids["output_ids"] == by_text["output_ids"]


def test_batch_and_samples_are_a_list_in_prompt_order():
    body = {
        "text": ["Hello there", "one two"],
        "sampling_params": [{**SHORT, "n": 2}, SHORT],
        "rid": "job",
    }
    answers = post(body).json()
    texts = [answer["text"] for answer in answers]
    assert texts[:2] == ["Hello thereHello"] * 2
    assert texts[2].startswith("one two")
    ids = [answer["meta_info"]["id"] for answer in answers]
    assert ids == ["job_0-0", "job_0-1", "job_1"]
    assert not any("index" in answer for answer in answers)


def test_eos_ends_the_text_and_stays_in_the_ids():
    async def scenario(front, http):
        front.engine.script("Hello there", " Paris.")
        answer = (await http.post("/generate", json={"text": "Hello there"})).json()
        assert answer["text"] == " Paris."
        eos = answer["output_ids"][-1]
        assert answer["meta_info"]["finish_reason"] == {"type": "stop", "matched": eos}
        assert eos in front.tokenizer.eos_token_ids
        assert answer["meta_info"]["completion_tokens"] == len(answer["output_ids"])

    run(scenario)


def test_stop_strings_are_cut_off_and_reported():
    answer = post(
        {"text": "one two three", "sampling_params": {"max_new_tokens": 20, "stop": " three"}}
    ).json()
    assert answer["text"] == "one two"
    assert answer["meta_info"]["finish_reason"] == {"type": "stop", "matched": " three"}


def test_cached_tokens_are_told_in_every_event():
    async def scenario(front, http):
        front.engine.num_cached_tokens = 1
        body = {"text": "Hello there", "sampling_params": SHORT, "stream": True}
        return events((await http.post("/generate", json=body)).text)[:-1]

    assert [each["meta_info"]["cached_tokens"] for each in run(scenario)] == [1] * 4


def test_unknown_fields_are_listed_and_strict_callers_get_a_400():
    async def scenario(front, http):
        body = {"text": "a", "sampling_params": SHORT, "new_bench_field": 1}
        relaxed = await http.post("/generate", json=body)
        strict = await http.post("/generate", json=body, headers={"X-Strict": "1"})
        return relaxed.json(), strict

    relaxed, strict = run(scenario)
    assert relaxed["meta_info"]["ignored_fields"] == ["new_bench_field"]
    assert strict.status_code == 400
    assert strict.json()["error"]["param"] == "new_bench_field"


def test_what_benchmark_clients_send_passes():
    body = {
        "text": "Hello there",
        "sampling_params": {"temperature": 0.0, "max_new_tokens": 3, "ignore_eos": True},
        "stream": True,
        "lora_path": None,
        "return_logprob": False,
        "return_routed_experts": False,
        "logprob_start_len": -1,
        "image_data": None,
        "log_metrics": True,
    }
    last = stream(body)[-1]
    assert last["meta_info"]["completion_tokens"] == 3
    assert "ignored_fields" not in last["meta_info"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input_embeds", [[0.5]]),
        ("image_data", "x.png"),
        ("session_params", {"id": "x"}),
        ("custom_logit_processor", "gASV"),
        ("lora_path", "adapter"),
        ("return_hidden_states", True),
        ("return_routed_experts", True),
        ("log_metrics", 0),
        ("bootstrap_host", "10.0.0.1"),
        ("data_parallel_rank", 1),
    ],
)
def test_known_but_unsupported_fields_are_refused_by_name(field, value):
    response = post({"text": "a", field: value})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == field


# -- log-probabilities -----------------------------------------------------------------------------


def test_logprob_fields_are_the_same_streamed_and_whole():
    body = {
        "text": "Hello there",
        "sampling_params": SHORT,
        "return_logprob": True,
        "logprob_start_len": 0,
        "top_logprobs_num": 2,
        "token_ids_logprob": [5, 6],
        "return_text_in_logprobs": True,
        "return_prompt_token_ids": True,
    }
    whole = post(body).json()
    meta = whole["meta_info"]
    first, second = whole["prompt_token_ids"]
    assert meta["input_token_logprobs"] == [[None, first, "Hello"], [-0.5, second, " there"]]
    assert meta["input_top_logprobs"][0] is None
    chosen = [[-2.0, 5, "<tool_call>"], [-2.0, 6, "</tool_call>"]]
    assert meta["input_token_ids_logprobs"][1] == chosen
    assert [entry[2] for entry in meta["output_token_logprobs"]] == ["Hello", " there", "Hello"]
    assert [len(entry) for entry in meta["output_top_logprobs"]] == [2, 2, 2]
    assert meta["output_token_logprobs_length"] == 3
    last = stream(body)[-1]
    for name, value in meta.items():
        if "logprobs" in name:
            assert last["meta_info"][name] == value, name
    assert last["prompt_token_ids"] == whole["prompt_token_ids"]


def test_output_only_by_default_and_no_text_unless_asked_for():
    meta = post({"text": "a b", "sampling_params": SHORT, "return_logprob": True}).json()[
        "meta_info"
    ]
    assert meta["input_token_logprobs"] == []
    assert all(entry[2] is None for entry in meta["output_token_logprobs"])
    assert "output_top_logprobs" not in meta


# -- streams ---------------------------------------------------------------------------------------


def test_cumulative_stream_ends_with_the_whole_answer():
    chunks = stream({"text": "Hello there", "sampling_params": SHORT})
    texts = [chunk["text"] for chunk in chunks]
    assert texts[-1] == "Hello thereHello"
    assert all(after.startswith(before) for before, after in itertools.pairwise(texts))
    assert [chunk["meta_info"]["completion_tokens"] for chunk in chunks] == [1, 2, 3, 3]
    assert chunks[0]["meta_info"]["finish_reason"] is None
    assert chunks[-1]["meta_info"]["finish_reason"]["type"] == "length"
    assert "index" not in chunks[0]


def test_incremental_stream_adds_up():
    chunks = stream(
        {"text": "Hello there", "sampling_params": SHORT}, incremental_streaming_output=True
    )
    assert "".join(chunk["text"] for chunk in chunks) == "Hello thereHello"
    assert sum(len(chunk["output_ids"]) for chunk in chunks) == 3


def test_stream_of_a_batch_has_indices():
    chunks = stream({"text": ["Hello there", "one two"], "sampling_params": {**SHORT, "n": 2}})
    last = {chunk["index"]: chunk for chunk in chunks}
    assert sorted(last) == [0, 1, 2, 3]
    assert last[1]["text"] == "Hello thereHello"
    assert last[3]["text"].startswith("one two")
    assert all(chunk["meta_info"]["finish_reason"] for chunk in last.values())


def test_stream_interval_of_item_and_server():
    many = {"max_new_tokens": 9, "ignore_eos": True}
    by_item = stream({"text": "a b", "sampling_params": {**many, "stream_interval": 4}})
    by_server = stream({"text": "a b", "sampling_params": many}, stream_interval=4)
    for chunks in (by_item, by_server):
        assert [chunk["meta_info"]["completion_tokens"] for chunk in chunks] == [1, 5, 9, 9]


def test_refusal_before_the_first_event_is_a_429():
    async def scenario(front, http):
        front.engine.capacity = 0
        return await http.post("/generate", json={"text": "a", "stream": True})

    response = run(scenario)
    assert response.status_code == 429
    assert "retry-after" in response.headers


def test_death_of_the_engine_in_a_stream_is_an_event_then_done():
    async def scenario(front, http):
        call = RawCall(build_app(front, [native]), "/generate")
        call.push(json.dumps({"text": "a b", "sampling_params": SHORT, "stream": True}).encode())
        while not call.body:
            await asyncio.sleep(0)
        front.engine.die()
        await call.task
        return events(call.body.decode()), front

    values, front = run(scenario)
    assert values[-1] == "[DONE]"
    assert values[-2]["error"]["retryable"] is True
    assert len(front.open_calls) == 0


@pytest.mark.parametrize("streams", [True, False])
def test_caller_who_leaves_ends_the_requests(streams):
    async def scenario(front, http):
        front.engine.hold = True
        call = RawCall(build_app(front, [native]), "/generate")
        call.push(json.dumps({"text": ["a", "b"], "stream": streams, "rid": "x"}).encode())
        while front.engine.num_open_requests < 2:
            await asyncio.sleep(0)
        call.disconnect()
        await call.task
        return front

    front = run(scenario)
    assert front.engine.num_open_requests == 0
    assert len(front.open_calls) == 0


# -- abort -----------------------------------------------------------------------------------------


async def open_held(front, http, body):
    """A call that waits in the engine."""
    front.engine.hold = True
    call = asyncio.ensure_future(http.post("/generate", json=body))
    while not front.engine.num_open_requests:
        await asyncio.sleep(0)
    return call


@pytest.mark.parametrize("rid", ["job", "job_1", "job_1-0"])
def test_abort_by_the_exact_id(rid):
    async def scenario(front, http):
        body = {"text": ["a", "b"], "sampling_params": {**SHORT, "n": 2}, "rid": "job"}
        call = await open_held(front, http, body)
        for near in ("jo", "job_", "job_10", "JOB"):
            assert (await http.post("/abort_request", json={"rid": near})).status_code == 200
        assert front.engine.num_open_requests == 4
        assert (await http.post("/abort_request", json={"rid": rid})).content == b""
        aborted = 4 - front.engine.num_open_requests
        front.engine.release()
        answers = (await call).json()
        assert len(front.open_calls) == 0
        reasons = [answer["meta_info"]["finish_reason"]["type"] for answer in answers]
        assert reasons.count("abort") == aborted
        return aborted

    assert run(scenario) == {"job": 4, "job_1": 2, "job_1-0": 1}[rid]


def test_abort_by_the_id_that_the_answer_shows():
    async def scenario(front, http):
        call = await open_held(front, http, {"text": "a"})
        (request,) = front.engine.requests
        assert request.request_id != ""
        await http.post("/abort_request", json={"rid": request.request_id})
        front.engine.release()
        return (await call).json()["meta_info"]["finish_reason"]["type"]

    assert run(scenario) == "abort"


def test_the_engines_ids_are_never_a_clients():
    async def scenario(front, http):
        bodies = [{"text": "a", "rid": "same", "sampling_params": SHORT}] * 2
        calls = [http.post("/generate", json=body) for body in bodies]
        answers = [response.json() for response in await asyncio.gather(*calls)]
        assert [answer["meta_info"]["id"] for answer in answers] == ["same", "same"]
        ids = [request.request_id for request in front.engine.requests]
        assert len(set(ids)) == 2
        assert "same" not in "".join(ids)

    run(scenario)


def test_abort_all_needs_control_access_and_empty_ids_mean_nothing():
    async def scenario(front, http):
        for body in ({}, {"rid": ""}, {"rid": None, "abort_all": False}):
            assert (await http.post("/abort_request", json=body)).status_code == 200
        assert front.engine.aborted == []
        assert (await http.post("/abort_request", json={"abort_all": True})).status_code == 200
        assert front.engine.controlled == [("abort_all", {})]
        async with client(build_app(front, [native]), peer=("10.0.0.9", 1)) as foreign:
            refused = await foreign.post("/abort_request", json={"abort_all": True})
            allowed = await foreign.post("/abort_request", json={"rid": "x"})
        assert (refused.status_code, allowed.status_code) == (403, 200)
        assert len(front.engine.controlled) == 1

    run(scenario)


@pytest.mark.parametrize("body", [{"rid": 5}, {"rid": ["a"]}, {"rid": "x" * 513}, {"abort_all": 1}])
def test_bad_abort_is_a_400(body):
    async def scenario(front, http):
        return await http.post("/abort_request", json=body)

    response = run(scenario)
    assert response.status_code == 400
    assert response.json()["error"]["param"] in body


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"text": ""}, "text"),
        ({"input_ids": []}, "input_ids"),
        ({"input_ids": [[1], []]}, "input_ids"),
        ({"input_ids": [-1]}, "input_ids"),
        ({"input_ids": [2**31]}, "input_ids"),
        ({"input_ids": [10**30]}, "input_ids"),
        ({"input_ids": [1.0]}, "input_ids"),
        ({"input_ids": [True]}, "input_ids"),
        ({"input_ids": ["1"]}, "input_ids"),
        ({"input_ids": [1] * 1024}, "input_ids"),
        ({"text": "word " * 2000}, "text"),
        ({"text": "word " * 200_000}, "text"),
        ({"text": "\ud800"}, None),
        ({"input_ids": [1], "sampling_params": {"max_new_tokens": 1024}}, "max_new_tokens"),
        ({"text": "a", "logprob_start_len": 50, "return_logprob": True}, "logprob_start_len"),
        ({"text": ["a"] * 256, "sampling_params": {"n": 128}}, "n"),
    ],
)
def test_prompts_that_do_not_fit_are_400(body, param):
    async def scenario(front, http):
        data = json.dumps(body).encode()
        response = await http.post(
            "/generate", content=data, headers={"Content-Type": "application/json"}
        )
        assert front.engine.num_open_requests == 0
        return response

    response = run(scenario)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


def test_last_id_of_the_logits_passes_and_the_next_does_not():
    async def scenario(front, http):
        width = front.limits.vocab_size
        sampling = {"max_new_tokens": 1}
        bodies = [{"input_ids": [i], "sampling_params": sampling} for i in (width - 1, width)]
        return [(await http.post("/generate", json=body)).status_code for body in bodies]

    assert run(scenario) == [200, 400]


def test_no_tokenizer_serves_ids_and_refuses_text_and_stops():
    async def scenario(front, http):
        ids = await http.post("/generate", json={"input_ids": [5, 6], "sampling_params": SHORT})
        text = await http.post("/generate", json={"text": "a"})
        return ids, text

    ids, text = run(scenario, skip_tokenizer_init=True)
    assert ids.json()["output_ids"] == [5, 6, 5]
    assert (text.status_code, text.json()["error"]["param"]) == (400, "text")


# -- T3 --------------------------------------------------------------------------------------------

BAD_NUMBERS = [
    "-1",
    "0",
    "-0.0",
    "2147483648",
    "9223372036854775808",
    "100000000000000000000",
    "1e400",
    "NaN",
    "Infinity",
    '"1"',
    "true",
    "[]",
    "{}",
]
FINE = {
    ("max_new_tokens", "0"),
    ("min_new_tokens", "0"),
    ("temperature", "0"),
    ("temperature", "-0.0"),
    ("temperature", "2147483648"),
    ("temperature", "9223372036854775808"),
    ("temperature", "100000000000000000000"),
    ("top_k", "-1"),
    ("min_p", "0"),
    ("min_p", "-0.0"),
    *(
        (name, value)
        for name in ("frequency_penalty", "presence_penalty")
        for value in BAD_NUMBERS[:3]
    ),
    *(("sampling_seed", value) for value in ("-1", "0", "2147483648")),
    *(("priority", value) for value in ("-1", "0")),
    *(("logprob_start_len", value) for value in ("-1", "0")),
    ("top_logprobs_num", "0"),
    ("token_ids_logprob", "[]"),
    *(("timeout", value) for value in BAD_NUMBERS[3:6]),
    *((name, "[]") for name in ("stop", "stop_regex", "stop_token_ids")),
    ("logit_bias", "{}"),
    *((name, value) for name in ("stop", "stop_regex") for value in ('"1"',)),
}
IN_SAMPLING = [
    "max_new_tokens",
    "min_new_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "sampling_seed",
    "n",
    "stream_interval",
    "stop",
    "stop_regex",
    "stop_token_ids",
    "logit_bias",
]
AT_TOP = ["priority", "logprob_start_len", "top_logprobs_num", "token_ids_logprob", "timeout"]
NO_JSON = {"1e400", "NaN", "Infinity"}


@pytest.mark.parametrize("field", [*IN_SAMPLING, *AT_TOP])
def test_every_bad_number_is_a_400_that_names_the_field(field):
    async def scenario(front, http):
        for value in BAD_NUMBERS:
            inner = '"max_new_tokens": 2'
            if field in IN_SAMPLING:
                inner = f'"{field}": {value}' + ("" if field == "max_new_tokens" else f", {inner}")
            outer = "" if field in IN_SAMPLING else f'"{field}": {value}, '
            body = f'{{{outer}"text": "a b", "sampling_params": {{{inner}}}}}'
            response = await http.post(
                "/generate",
                content=body.encode(),
                headers={"Content-Type": "application/json"},
            )
            if (field, value) in FINE:
                assert response.status_code == 200, (field, value, response.text)
                continue
            assert response.status_code == 400, (field, value, response.text)
            error = response.json()["error"]
            # What is no JSON at all cannot be traced to a field.
            assert error["param"] == field or value in NO_JSON, (field, value, error)
        assert front.engine.num_open_requests == 0

    run(scenario)


# -- the real engine -------------------------------------------------------------------------------


def test_answers_are_those_of_the_offline_api():
    prompts = ["The capital of France is", "12 + 30 ="]
    sampling = {"max_new_tokens": 6, "temperature": 0.0}
    with LLM() as llm:
        expected = [
            llm.generate(prompt, sampling, logprob_start_len=0, top_logprobs_num=1).to_sglang()
            for prompt in prompts
        ]

        async def ask():
            body = {
                "text": prompts,
                "sampling_params": sampling,
                "return_logprob": True,
                "logprob_start_len": 0,
                "top_logprobs_num": 1,
            }
            async with client(build_app(front_of(llm), [native])) as http:
                whole = (await http.post("/generate", json=body)).json()
                streamed = await http.post("/generate", json={**body, "stream": True})
            last = {chunk["index"]: chunk for chunk in events(streamed.text)[:-1]}
            return whole, [last[index] for index in sorted(last)]

        answers = asyncio.run(ask())
    for side in answers:
        for answer, offline in zip(side, expected, strict=True):
            assert answer["text"] == offline["text"]
            assert answer["output_ids"] == offline["output_ids"]
            for name in ("output_token_logprobs", "output_top_logprobs", "input_token_logprobs"):
                assert_same_logprobs(answer["meta_info"][name], offline["meta_info"][name])


def assert_same_logprobs(found, expected):
    """Equal ids; values that may differ by what another batch's order of sums does."""
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for each, wanted in zip(found, expected, strict=True):
            assert_same_logprobs(each, wanted)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-4)
    else:
        assert found == expected
