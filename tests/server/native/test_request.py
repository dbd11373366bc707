"""A body of /generate becomes items: columns, names, caps; every bad value names its field."""

from __future__ import annotations

import pytest

from sglite.errors import RequestError
from sglite.server.native.request import MAX_PROMPTS, read_call
from sglite.validation import RequestLimits

LIMITS = RequestLimits(context_length=64, pool_tokens=64, vocab_size=100)


def read(max_answers=1000, **body):
    return read_call(body, LIMITS, max_answers=max_answers)


def refusal(**body):
    with pytest.raises(RequestError) as caught:
        read(**body)
    return caught.value


def test_one_text_is_one_item_and_no_list():
    call = read(text="hi")
    assert [item.prompt for item in call.items] == ["hi"]
    assert (call.prompt_field, call.is_list, call.stream) == ("text", False, False)
    assert call.items[0].client_id is None
    assert call.items[0].sampling.max_new_tokens == 128


@pytest.mark.parametrize("stream", [True, False, None])
def test_items_of_a_stream_are_streamed(stream):
    call = read(text=["a", "b"], stream=stream)
    assert [item.traits.is_streamed for item in call.items] == [bool(stream)] * 2


def test_samples_make_the_answer_a_list():
    call = read(text="hi", sampling_params={"n": 3})
    assert call.is_list
    assert call.num_answers == 3


def test_batches_of_texts_and_of_ids():
    assert read(text=["a", "b"]).is_list
    call = read(input_ids=[[1, 2], [3]])
    assert [item.prompt for item in call.items] == [[1, 2], [3]]
    assert read(input_ids=[1, 2]).items[0].prompt == [1, 2]
    assert not read(input_ids=[1, 2]).is_list


def test_each_item_has_its_own_options():
    call = read(
        text=["a", "b"],
        sampling_params=[{"max_new_tokens": 1}, {"max_new_tokens": 2}],
        return_logprob=[True, False],
        logprob_start_len=[0, -1],
        top_logprobs_num=[2, 0],
        token_ids_logprob=[[5], None],
        priority=[1, None],
        cache_salt=["x", "y"],
        rid=["first", "second"],
    )
    first, second = call.items
    assert (first.sampling.max_new_tokens, second.sampling.max_new_tokens) == (1, 2)
    assert (first.logprobs.start_len, first.logprobs.top_num) == (0, 2)
    assert first.logprobs.token_ids == (5,)
    assert second.logprobs is None
    assert (first.traits.priority, second.traits.priority) == (1, 0)
    assert first.traits.namespace != second.traits.namespace
    assert (first.client_id, second.client_id) == ("first", "second")


def test_one_value_serves_all_items():
    call = read(text=["a", "b"], sampling_params={"n": 2}, token_ids_logprob=[5, 6], rid="job")
    assert [item.sampling.n for item in call.items] == [2, 2]
    assert [item.logprobs.token_ids for item in call.items] == [(5, 6), (5, 6)]
    assert [item.client_id for item in call.items] == ["job_0", "job_1"]
    assert call.client_id == "job"


def test_false_return_logprob_wins_over_details_and_they_are_checked_all_the_same():
    assert read(text="a", return_logprob=False, top_logprobs_num=5).items[0].logprobs is None
    assert read(text="a", top_logprobs_num=5).items[0].logprobs.top_num == 5
    assert read(text="a", return_logprob=True, logprob_start_len=-1).items[0].logprobs is not None
    assert refusal(text="a", return_logprob=False, top_logprobs_num=21).param == "top_logprobs_num"


def test_server_default_of_the_stream_interval_yields_to_the_item():
    call = read_call(
        {"text": ["a", "b"], "sampling_params": [{}, {"stream_interval": 2}]},
        LIMITS,
        max_answers=10,
        stream_interval=7,
    )
    assert [item.sampling.stream_interval for item in call.items] == [7, 2]


def test_a_deadline_and_namespaces_that_cannot_collide():
    assert read(text="a", timeout=5).items[0].traits.deadline_s is not None
    namespaces = {
        read(text="a", **keys).items[0].traits.namespace
        for keys in (
            {},
            {"cache_salt": "x"},
            {"extra_key": "x"},
            {"cache_salt": "x", "extra_key": "y"},
            {"extra_key": "y salt x"},
            {"cache_salt": "y salt x"},
        )
    }
    assert len(namespaces) == 6


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "text"),
        ({"text": "a", "input_ids": [1]}, "text"),
        ({"text": 5}, "text"),
        ({"text": []}, "text"),
        ({"text": ["a", 5]}, "text"),
        ({"text": ["a"] * (MAX_PROMPTS + 1)}, "text"),
        ({"input_ids": "1"}, "input_ids"),
        ({"input_ids": {}}, "input_ids"),
        ({"input_ids": [[1], 2]}, "input_ids"),
        ({"input_ids": [[1]] * (MAX_PROMPTS + 1)}, "input_ids"),
        ({"text": ["a", "b"], "rid": ["x"]}, "rid"),
        ({"text": ["a", "b"], "rid": ["x", "x"]}, "rid"),
        ({"text": "a", "rid": ["x"]}, "rid"),
        ({"text": "a", "rid": ""}, "rid"),
        ({"text": "a", "rid": "x" * 257}, "rid"),
        ({"text": "a", "rid": 5}, "rid"),
        ({"text": ["a", "b"], "sampling_params": [{}]}, "sampling_params"),
        ({"text": "a", "sampling_params": [{}]}, "sampling_params"),
        ({"text": "a", "sampling_params": "x"}, "sampling_params"),
        ({"text": "a", "return_logprob": [True]}, "return_logprob"),
        ({"text": ["a", "b"], "top_logprobs_num": [1]}, "top_logprobs_num"),
        ({"text": "a", "token_ids_logprob": [100]}, "token_ids_logprob"),
        ({"text": "a", "token_ids_logprob": "x"}, "token_ids_logprob"),
        ({"text": "a", "token_ids_logprob": [1] * 129}, "token_ids_logprob"),
        ({"text": "a", "cache_salt": ""}, "cache_salt"),
        ({"text": "a", "extra_key": 5}, "extra_key"),
        ({"text": "a", "stream": "yes"}, "stream"),
        ({"text": "a", "return_text_in_logprobs": 1}, "return_text_in_logprobs"),
        ({"text": "a", "return_prompt_token_ids": "x"}, "return_prompt_token_ids"),
        ({"text": "a", "sampling_params": {"regex": 5}}, "regex"),
        ({"text": "a", "sampling_params": {"max_tokens": 5}}, "max_tokens"),
        ({"text": "a", "sampling_params": {"regex": "a", "ebnf": "b"}}, "ebnf"),
        ({"text": "a", "max_thinking_tokens": -1}, "max_thinking_tokens"),
        ({"text": "a", "require_reasoning": 1}, "require_reasoning"),
    ],
)
def test_bad_values_name_their_field(body, param):
    assert refusal(**body).param == param


def test_thoughts_are_asked_for_per_item_and_the_sampling_parameters_win():
    call = read(
        text=["a", "b"],
        sampling_params=[{}, {"max_thinking_tokens": 2}],
        max_thinking_tokens=5,
        require_reasoning=[True, None],
    )
    assert [item.sampling.max_thinking_tokens for item in call.items] == [5, 2]
    assert [item.must_think for item in call.items] == [True, False]


def test_more_answers_than_the_engine_takes_are_refused_at_once():
    error = refusal(max_answers=5, text=["a", "b"], sampling_params={"n": 3})
    assert error.param == "n"
    assert "6 answers" in str(error)


def test_what_asks_for_nothing_passes_in_sampling_params():
    unset = {"json_schema": None, "regex": "", "custom_params": {}, "beam_width": 1, "ebnf": ""}
    assert read(text="a", sampling_params=unset).items
    assert refusal(text="a", sampling_params={"beam_width": True}).param == "beam_width"
