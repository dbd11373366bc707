import json

import pytest

from sglite.request import FinishReason, TokenLogprobs
from sglite.wire import generation_to_sglang
from tests.cli.fakes import FakeGeneration, FakeTokenizer


def generation(**values):
    return FakeGeneration(text="ab", token_ids=[97, 98, 2], prompt_token_ids=[1, 2, 3, 4], **values)


def test_answer_has_sglangs_shape():
    answer = generation_to_sglang(generation(num_cached_tokens=3))
    assert answer == {
        "text": "ab",
        "output_ids": [97, 98, 2],
        "meta_info": {
            "id": "request-1",
            "finish_reason": {"type": "stop", "matched": 2},
            "prompt_tokens": 4,
            "completion_tokens": 3,
            "cached_tokens": 3,
            "reasoning_tokens": 0,
            "jumped_tokens": 0,
            "weight_version": "default",
            "num_retractions": 0,
            "dp_rank": None,
            "e2e_latency": 0.5,
        },
    }
    json.dumps(answer)


def test_what_a_grammar_and_thoughts_did_is_told():
    values = {"num_jumped_tokens": 2, "num_reasoning_tokens": 1}
    meta = generation_to_sglang(generation(**values))["meta_info"]
    assert (meta["jumped_tokens"], meta["reasoning_tokens"]) == (2, 1)
    assert "ignored_schema_keywords" not in meta
    ignored = generation(ignored_schema_keywords=("contains", "not"))
    meta = generation_to_sglang(ignored)["meta_info"]
    assert meta["ignored_schema_keywords"] == ["contains", "not"]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (FinishReason.STOP, {"type": "stop", "matched": 2}),
        (FinishReason.LENGTH, {"type": "length", "length": 3}),
        (FinishReason.ABORT, {"type": "abort", "status_code": None, "err_type": None}),
        (
            FinishReason.ERROR,
            {"type": "abort", "status_code": 500, "err_type": "InternalServerError"},
        ),
    ],
)
def test_finish_reasons(reason, expected):
    finish = generation_to_sglang(generation(finish_reason=reason))["meta_info"]["finish_reason"]
    assert finish.items() >= expected.items()
    assert ("message" in finish) == (finish["type"] == "abort")


def test_stop_string_that_matched_is_named():
    answer = generation_to_sglang(generation(matched="###"))
    assert answer["meta_info"]["finish_reason"] == {"type": "stop", "matched": "###"}


def test_logprobs_are_triples_and_the_first_prompt_token_has_none():
    answer = generation_to_sglang(
        generation(
            logprobs=[TokenLogprobs(97, -0.5, top=((97, -0.5), (98, -1.5)), chosen=((7, -9.0),))],
            prompt_logprobs=[TokenLogprobs(1, None), TokenLogprobs(2, -2.0, top=((2, -2.0),))],
        )
    )
    meta = answer["meta_info"]
    assert meta["output_token_logprobs"] == [[-0.5, 97, None]]
    assert meta["output_token_logprobs_length"] == 1
    assert meta["output_top_logprobs"] == [[[-0.5, 97, None], [-1.5, 98, None]]]
    assert meta["output_token_ids_logprobs"] == [[[-9.0, 7, None]]]
    assert meta["input_token_logprobs"] == [[None, 1, None], [-2.0, 2, None]]
    assert meta["input_top_logprobs"] == [None, [[-2.0, 2, None]]]
    assert "input_token_ids_logprobs" not in meta


def test_logprobs_show_text_on_request():
    answer = generation_to_sglang(
        generation(logprobs=[TokenLogprobs(97, -0.5)]), FakeTokenizer(), with_text=True
    )
    assert answer["meta_info"]["output_token_logprobs"] == [[-0.5, 97, "a"]]
    assert answer["meta_info"]["input_token_logprobs"] == []
