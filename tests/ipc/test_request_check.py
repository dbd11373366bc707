from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sglite.errors import RequestError
from sglite.ipc.request_check import check_request
from sglite.request import LogprobParams, Request, SamplingParams
from sglite.validation import RequestLimits, build_requests

LIMITS = RequestLimits(
    context_length=32, pool_tokens=100, vocab_size=50, eos_token_ids=frozenset({2, 3})
)
GOOD = Request(
    request_id="r", prompt_token_ids=[1, 2, 3], eos_token_ids=frozenset({2}), max_new_tokens=29
)


def test_what_the_front_makes_passes() -> None:
    sampling = SamplingParams(n=3, stop=("a",), logit_bias={49: 1.0}, max_new_tokens=None)
    made = build_requests(
        "r", [0, 49], sampling, LogprobParams(start_len=0, top_num=3),
        limits=LIMITS, server_seed=1, counter=2,
    )  # fmt: skip
    for request in [GOOD, *made]:
        check_request(request, LIMITS)


@pytest.mark.parametrize(
    "damage",
    [
        {"prompt_token_ids": []},
        {"prompt_token_ids": [1, 50, 3]},
        {"prompt_token_ids": [1, -1, 3]},
        {"prompt_token_ids": [1] * 32},
        {"max_new_tokens": 30},
        {"max_new_tokens": -1},
        {"sampling": SamplingParams(temperature=float("nan"))},
        {"sampling": SamplingParams(top_k=0)},
        {"sampling": SamplingParams(stop_token_ids=(50,))},
        {"sampling": SamplingParams(logit_bias={50: 1.0})},
        {"logprobs": LogprobParams(top_num=10_000)},
        {"logprobs": LogprobParams(token_ids=(50,))},
        {"eos_token_ids": frozenset({4})},
        {"seed": 1 << 63},
        {"priority": 1 << 40},
        {"deadline_s": float("inf")},
        {"key_ids": [1]},
        {"request_id": ""},
        {"namespace": "x" * 5000},
    ],
    ids=str,
)
def test_what_an_engine_cannot_run_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        check_request(dataclasses.replace(GOOD, **damage), LIMITS)
