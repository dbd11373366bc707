"""Engines of several processes give the tokens of one: every architecture, and all at once what
may change them: a cache, chunks, retractions, forms to keep to.
"""

from __future__ import annotations

import random
from pathlib import Path
from re import fullmatch
from typing import Any

import pytest

from sglite import LLM
from sglite.generation import Generation
from sglite.make_model.checkpoint import make_model
from tests.model_harness import NEAR_TIE

NUM_PROMPTS = 200
ARCHITECTURES = ["llama", "mistral", "qwen2", "qwen3"]
SIZES = ({"tp_size": 2}, {"tp_size": 4}, {"pp_size": 2}, {"tp_size": 2, "pp_size": 2})
REGEX = r"(ka|mi|to){3,8}[0-9]{2,5}"
OPTIONS: dict[str, Any] = {
    "device": "cpu",
    "dtype": "float32",
    "max_total_tokens": 1024,
    "chunked_prefill_size": 24,
    "max_running_requests": 48,
    "schedule_conservativeness": 0.1,
    "check": True,
}


def prompts() -> list[list[int]]:
    """A few beginnings that many share, and ends of their own."""
    shuffle = random.Random(11)
    shared = [[shuffle.randrange(300, 900) for _ in range(40)] for _ in range(6)]
    return [
        shuffle.choice(shared)[: shuffle.randrange(1, 40)]
        + [shuffle.randrange(300, 900) for _ in range(shuffle.randrange(1, 12))]
        for _ in range(NUM_PROMPTS)
    ]


def sampling() -> list[dict[str, Any]]:
    """Greedy; every eighth answer has a form to keep to."""
    plain = {"temperature": 0.0, "max_new_tokens": 24, "ignore_eos": True}
    formed = {"temperature": 0.0, "max_new_tokens": 40, "regex": REGEX}
    return [formed if number % 8 == 3 else plain for number in range(NUM_PROMPTS)]


def answers_of(model_dir: Path, **sizes: Any) -> tuple[list[Generation], dict[str, int]]:
    """Answers to all prompts, and the engine's counters."""
    with LLM(str(model_dir), **OPTIONS, **sizes) as llm:
        answers = llm.generate(
            prompts(), sampling(), return_logprob=True, top_logprobs_num=2, show_progress=False
        )
        return answers, llm.stats()


def check_equal(found: Generation, expected: Generation) -> None:
    """The same tokens, up to a place where the two best are as good as each other."""
    assert found.message is None
    assert found.logprobs is not None and expected.logprobs is not None
    pairs = zip(found.token_ids, expected.token_ids, strict=False)
    for place, (token, right) in enumerate(pairs):
        scores = expected.logprobs[place]
        if token != right:
            (_, first), (_, second) = scores.top[:2]
            assert first - second <= NEAR_TIE, f"{found.request_id} differs at {place}: {scores}"
            return
        got = found.logprobs[place].logprob
        assert got is not None and scores.logprob is not None
        assert abs(got - scores.logprob) <= 1e-3
    assert len(found.token_ids) == len(expected.token_ids)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_ranks_and_stages_give_the_tokens_of_one_process(tmp_path: Path, architecture: str) -> None:
    model_dir = make_model(tmp_path / "model", architecture=architecture, dtype="float32")
    expected, _ = answers_of(model_dir, cpu_kernels="torch")
    assert len({tuple(answer.token_ids) for answer in expected}) > NUM_PROMPTS // 2
    for sizes in SIZES:
        found, stats = answers_of(model_dir, **sizes)
        assert len(found) == len(expected)
        for answer, right in zip(found, expected, strict=True):
            check_equal(answer, right)
        assert stats["num_retractions"] > 0
        assert stats["num_cached_tokens"] > 0
        assert any(answer.num_jumped_tokens for answer in found)
        assert all(fullmatch(REGEX, answer.text) for answer in found[3::8])
