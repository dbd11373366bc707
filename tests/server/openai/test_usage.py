from __future__ import annotations

from sglite.generation import OpenGeneration
from sglite.request import Request
from sglite.server.openai.usage import UsageMeter


def opened(num_prompt_tokens: int, num_cached_tokens: int) -> OpenGeneration:
    request = Request(request_id="r", prompt_token_ids=[1] * num_prompt_tokens)
    generation = OpenGeneration(request, 0, None)
    generation.num_cached_tokens = num_cached_tokens
    return generation


def test_a_prompt_and_its_cached_tokens_count_once_whatever_n_is():
    samples = [opened(5, 0), opened(5, 4), opened(7, 3), opened(7, 6)]
    meter = UsageMeter(samples, samples_per_prompt=2)
    meter.add(3)
    meter.add(4)
    assert meter.to_openai() == {
        "prompt_tokens": 12,
        "completion_tokens": 7,
        "total_tokens": 19,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 0},
        "reasoning_tokens": 0,
    }
    assert meter.cache_details() == {
        "cached_tokens_details": {"device": 3, "host": 0, "storage": 0}
    }


def test_no_more_is_cached_than_the_prompt_has():
    meter = UsageMeter([opened(5, 9)], samples_per_prompt=1)
    assert meter.num_cached_tokens == 5
