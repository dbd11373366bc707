"""Requests from prompts: lengths, ids, fan-out, seeds."""

from __future__ import annotations

import dataclasses

import pytest

from sglite.config import EngineConfig, RequestOptions
from sglite.errors import RequestError
from sglite.request import LogprobParams, SamplingParams
from sglite.validation import RequestLimits, build_requests, validate_token_ids
from sglite.validation.requests import RequestTraits

CONTEXT, VOCAB = 100, 50
LIMITS = RequestLimits(
    context_length=CONTEXT, pool_tokens=1000, vocab_size=VOCAB, eos_token_ids=frozenset({2})
)
SHORT = SamplingParams(max_new_tokens=4)


def build(prompt, sampling=SHORT, logprobs=None, *, limits=LIMITS, request_id="r", **kwargs):
    kwargs = {"server_seed": 42, "counter": 0} | kwargs
    return build_requests(request_id, prompt, sampling, logprobs, limits=limits, **kwargs)


def refusal(*args, **kwargs) -> RequestError:
    with pytest.raises(RequestError) as caught:
        build(*args, **kwargs)
    return caught.value


def with_options(**options) -> RequestLimits:
    return dataclasses.replace(LIMITS, options=RequestOptions(**options))


def test_request_carries_what_it_was_given():
    traits = RequestTraits(
        key_ids=[7, 8],
        namespace="salt",
        priority=3,
        deadline_s=9.5,
        pin_prefix=True,
        is_streamed=True,
    )
    logprobs = LogprobParams(start_len=0, top_num=2, token_ids=(1,))
    [request] = build([1, 2], SHORT, logprobs, traits=traits)
    assert (request.request_id, request.group_id) == ("r", None)
    assert request.prompt_token_ids == [1, 2]
    assert (request.sampling, request.logprobs) == (SHORT, logprobs)
    assert (request.max_new_tokens, request.eos_token_ids) == (4, frozenset({2}))
    assert request.key_ids == [7, 8]
    assert (request.namespace, request.priority, request.deadline_s) == ("salt", 3, 9.5)
    assert request.pin_prefix and request.is_streamed


def test_all_samples_of_a_prompt_are_streamed_or_none():
    sampling = SamplingParams(n=3, max_new_tokens=4)
    for is_streamed in (False, True):
        made = build([1, 2], sampling, traits=RequestTraits(is_streamed=is_streamed))
        assert [request.is_streamed for request in made] == [is_streamed] * 3


# --------------------------------------------------------------------------------- lengths


def test_empty_prompt_is_refused():
    error = refusal([])
    assert (str(error), error.param) == ("the prompt is empty; send at least one token", "prompt")


@pytest.mark.parametrize("num_tokens", [CONTEXT, CONTEXT + 1, 9001])
def test_prompt_that_fills_the_context_is_refused(num_tokens):
    error = refusal([1] * num_tokens)
    assert error.param == "prompt"
    assert str(error) == (
        f"prompt has {num_tokens:,} tokens; this engine fits 100 (context_length), prompt and "
        "output. Shorten it."
    )


def test_longest_prompt_has_room_for_one_token():
    [request] = build([1] * (CONTEXT - 1), SamplingParams(max_new_tokens=None))
    assert request.max_new_tokens == 1


def test_prompt_beyond_the_pool_is_refused():
    limits = dataclasses.replace(LIMITS, pool_tokens=64)
    assert build([1] * 64, SamplingParams(max_new_tokens=1), limits=limits)
    error = refusal([1] * 65, SamplingParams(max_new_tokens=1), limits=limits)
    assert error.param == "prompt"
    assert str(error) == (
        "prompt has 65 tokens; the KV pool of this engine fits 64. Shorten it or start with "
        "--max-total-tokens or --mem-fraction-static."
    )


def test_unset_output_goes_up_to_the_context_or_the_pool():
    unlimited = SamplingParams(max_new_tokens=None)
    assert build([1] * 30, unlimited)[0].max_new_tokens == 70
    limits = dataclasses.replace(LIMITS, pool_tokens=64)
    assert build([1] * 30, unlimited, limits=limits)[0].max_new_tokens == 35


def test_output_beyond_the_context_is_refused():
    assert build([1] * 30, SamplingParams(max_new_tokens=70))
    error = refusal([1] * 30, SamplingParams(max_new_tokens=71))
    assert error.param == "max_new_tokens"
    assert str(error) == (
        "prompt (30 tokens) and max_new_tokens (71) make 101; this engine fits 100 "
        "(context_length). Lower max_new_tokens, or start with --allow-auto-truncate."
    )


def test_a_larger_context_is_advised_only_where_the_model_has_one():
    larger = "a larger --context-length (the model is made for 4,096)"
    limits = dataclasses.replace(LIMITS, model_context_length=4096)
    assert f"Shorten it or start with {larger}." in str(refusal([1] * CONTEXT, limits=limits))
    too_much = SamplingParams(max_new_tokens=71)
    assert f"or start with {larger} or --allow" in str(refusal([1] * 30, too_much, limits=limits))
    limits = dataclasses.replace(LIMITS, model_context_length=CONTEXT)
    assert "--context-length" not in str(refusal([1] * CONTEXT, limits=limits))
    assert "--context-length" not in str(refusal([1] * 30, too_much, limits=limits))


def test_output_that_can_never_fit_the_pool_is_refused():
    limits = dataclasses.replace(LIMITS, pool_tokens=64)
    assert build([1] * 30, SamplingParams(max_new_tokens=35), limits=limits)
    error = refusal([1] * 30, SamplingParams(max_new_tokens=36), limits=limits)
    assert error.param == "max_new_tokens"
    assert "the KV pool of this engine fits" in str(error)


def test_auto_truncate_clips_output_and_prompt():
    limits = with_options(allow_auto_truncate=True)
    long = SamplingParams(max_new_tokens=500, min_new_tokens=90)
    assert build([1] * 30, long, limits=limits)[0].max_new_tokens == 70
    traits = RequestTraits(key_ids=list(range(300)))
    [request] = build(list(range(50)) * 6, long, limits=limits, traits=traits)
    assert request.prompt_token_ids == (list(range(50)) * 2)[:99]
    assert request.key_ids == list(range(99))
    assert request.max_new_tokens == 1


@pytest.mark.parametrize(("num_prompt", "expected"), [(30, 54), (83, 1), (84, 1), (99, 1)])
def test_aggressive_output_is_clipped_to_the_context_less_its_margin(num_prompt, expected):
    limits = with_options(aggressive_max_new_tokens=True)
    [request] = build([1] * num_prompt, SamplingParams(max_new_tokens=500), limits=limits)
    assert request.max_new_tokens == expected


def test_aggressive_output_that_fits_is_left_alone():
    limits = with_options(aggressive_max_new_tokens=True)
    assert build([1] * 30, SamplingParams(max_new_tokens=70), limits=limits)[0].max_new_tokens == 70
    assert refusal([1] * 100, limits=limits).param == "prompt"


def test_no_output_is_prefill_alone():
    assert build([1], SamplingParams(max_new_tokens=0))[0].max_new_tokens == 0


def test_minimum_that_does_not_fit_is_refused():
    error = refusal([1] * 30, SamplingParams(max_new_tokens=None, min_new_tokens=71))
    assert error.param == "min_new_tokens"
    assert "70 fit" in str(error)


def test_whole_engine_config_serves_as_options():
    config = EngineConfig(allow_auto_truncate=True)
    limits = dataclasses.replace(LIMITS, options=config)
    assert build([1] * 99, limits=limits)[0].max_new_tokens == 1


# ------------------------------------------------------------------------------------- ids


@pytest.mark.parametrize("bad", [-1, VOCAB, 2**31, True, 1.0, "1", None, [1]])
def test_prompt_ids_lie_in_the_vocabulary(bad):
    assert refusal([0, VOCAB - 1, bad]).param == "prompt"


@pytest.mark.parametrize("prompt", ["text", b"bytes", None, 5, {1: 2}, {1, 2}, ""])
def test_prompt_is_a_list_of_ids(prompt):
    assert refusal(prompt).param == "prompt"


@pytest.mark.parametrize(
    ("field", "sampling"),
    [
        ("stop_token_ids", SamplingParams(stop_token_ids=(1, VOCAB), max_new_tokens=4)),
        ("logit_bias", SamplingParams(logit_bias={VOCAB: 1.0}, max_new_tokens=4)),
        ("temperature", SamplingParams(temperature=-1.0)),
    ],
)
def test_parameters_are_checked_against_the_vocabulary(field, sampling):
    assert refusal([1], sampling).param == field


def test_ids_at_the_edge_of_the_vocabulary_are_taken():
    edge = VOCAB - 1
    assert build([1], dataclasses.replace(SHORT, stop_token_ids=(edge,), logit_bias={edge: 1.0}))


@pytest.mark.parametrize(
    ("param", "logprobs"),
    [
        ("logprob_start_len", LogprobParams(start_len=-1)),
        ("logprob_start_len", LogprobParams(start_len=4)),
        ("logprob_start_len", LogprobParams(start_len=True)),
        ("top_logprobs_num", LogprobParams(top_num=21)),
        ("top_logprobs_num", LogprobParams(top_num=-1)),
        ("top_logprobs_num", LogprobParams(top_num=1.0)),
        ("token_ids_logprob", LogprobParams(token_ids=(VOCAB,))),
        ("token_ids_logprob", LogprobParams(token_ids=(-1,))),
        ("token_ids_logprob", LogprobParams(token_ids=(1,) * 129)),
        ("token_ids_logprob", LogprobParams(token_ids=5)),
    ],
)
def test_logprob_wishes_are_bounded(param, logprobs):
    assert refusal([1, 2, 3], SHORT, logprobs).param == param


def test_logprob_wishes_at_their_limits_are_taken():
    logprobs = LogprobParams(start_len=3, top_num=20, token_ids=[1] * 128)
    [request] = build([1, 2, 3], SHORT, logprobs)
    assert request.logprobs == dataclasses.replace(logprobs, token_ids=(1,) * 128)


@pytest.mark.parametrize(
    ("field", "value"),
    [("priority", True), ("priority", 2**31), ("deadline_s", float("nan")), ("deadline_s", "1")],
)
def test_traits_are_checked(field, value):
    assert refusal([1], traits=RequestTraits(**{field: value})).param == field


def test_validating_ids_names_the_field():
    validate_token_ids([0, 49], vocab_size=VOCAB, field="input_ids")
    with pytest.raises(RequestError) as caught:
        validate_token_ids([50], vocab_size=VOCAB, field="input_ids")
    assert caught.value.param == "input_ids"


# -------------------------------------------------------------------------- fan-out, seeds


def samples(n: int, seed: int | None = None, **kwargs):
    return build([1, 2], SamplingParams(max_new_tokens=4, n=n, sampling_seed=seed), **kwargs)


def test_samples_share_a_prompt_and_a_group():
    requests = samples(3)
    assert [request.request_id for request in requests] == ["r-0", "r-1", "r-2"]
    assert {request.group_id for request in requests} == {"r"}
    assert all(request.prompt_token_ids is requests[0].prompt_token_ids for request in requests)


def test_samples_have_distinct_int64_seeds():
    seeds = [request.seed for request in samples(128)]
    assert len(set(seeds)) == 128
    assert all(-(2**63) <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("seed", [0, -1, 2**63 - 1, -(2**63)])
def test_given_seed_settles_all_samples(seed):
    assert samples(1, seed)[0].seed == seed
    first = [request.seed for request in samples(4, seed, counter=1)]
    again = [request.seed for request in samples(4, seed, counter=2, server_seed=7)]
    assert first == again
    assert first[0] == seed and len(set(first)) == 4


def test_seed_without_one_comes_from_server_and_counter():
    def seed(server_seed: int, counter: int) -> int:
        return samples(1, server_seed=server_seed, counter=counter)[0].seed

    assert seed(42, 5) == seed(42, 5)
    assert len({seed(server, counter) for server in range(20) for counter in range(200)}) == 4000
