"""Sampled answers do not depend on company, retraction or overlap."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sglite import LLM
from sglite.models.decoder import Decoder
from sglite.request import LogprobParams, SamplingParams
from tests.cli.real_model import make_tiny_model
from tests.engine.harness import Driver
from tests.kernels.cpu.kernels import extension
from tests.model_harness import load_decoder
from tests.models.parity_models import make_model

PROMPTS = [[(11 * i + 7 * j) % 250 for j in range(5 + i)] for i in range(12)]
PARAMS = [
    SamplingParams(ignore_eos=True),
    SamplingParams(ignore_eos=True, top_p=0.9),
    SamplingParams(ignore_eos=True, top_k=20, temperature=1.5),
    SamplingParams(ignore_eos=True, min_p=0.02, temperature=0.7),
    SamplingParams(ignore_eos=True, frequency_penalty=1.5, presence_penalty=0.5),
    SamplingParams(ignore_eos=True, repetition_penalty=1.8, temperature=0.0),
    SamplingParams(ignore_eos=True, logit_bias={7: 6.0, 9: 6.0}, temperature=2.0),
]
ROUNDS = {
    "alone": {"max_running_requests": 1},
    "together": {},
    "overlap": {"max_in_flight": 2},
    "retracted": {"retract_every": 4},
    "retracted-overlap": {"retract_every": 3, "max_in_flight": 2, "page_size": 1},
    "small-chunks": {"chunked_prefill_size": 3, "disable_radix_cache": True},
}


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    row = {"variant": "qwen3", "rope": "default", "gqa_ratio": 2, "head_dim": 64, "tied": False}
    return load_decoder(make_model(row))


def answers(decoder: Decoder, **options: Any) -> Driver:
    driver = Driver.make(decoder, **options)
    for number, prompt in enumerate(PROMPTS):
        sampling = PARAMS[number % len(PARAMS)]
        wants = LogprobParams() if number % 2 else None
        driver.add(f"r{number}", prompt, sampling=sampling, seed=1000 + number, logprobs=wants)
    driver.run()
    driver.engine.close()
    return driver


@pytest.fixture(scope="module")
def alone(decoder: Decoder) -> Driver:
    return answers(decoder, **ROUNDS["alone"])


@pytest.mark.parametrize("name", [name for name in ROUNDS if name != "alone"])
def test_seeded_tokens_are_the_same(decoder: Decoder, alone: Driver, name: str) -> None:
    driver = answers(decoder, **ROUNDS[name])
    assert driver.outputs == alone.outputs
    if "retract_every" in ROUNDS[name]:
        assert sum(finish.num_retractions for finish in driver.finishes.values()) > 0
    for request_id, scored in alone.logprobs.items():
        pairs = zip(scored, driver.logprobs[request_id], strict=True)
        assert all(abs(a.logprob - b.logprob) < 1e-3 for a, b in pairs)  # type: ignore[operator]


def test_another_seed_gives_another_answer(decoder: Decoder) -> None:
    driver = Driver.make(decoder)
    for seed in (1, 2):
        driver.add(f"r{seed}", PROMPTS[0], sampling=PARAMS[0], seed=seed)
    driver.run()
    assert driver.outputs["r1"] != driver.outputs["r2"]


def test_penalised_tokens_repeat_less(decoder: Decoder) -> None:
    distinct = []
    for penalty in (1.0, 2.0):
        driver = Driver.make(decoder)
        sampling = SamplingParams(ignore_eos=True, temperature=0.0, repetition_penalty=penalty)
        for number, prompt in enumerate(PROMPTS):
            driver.add(f"r{number}", prompt, sampling=sampling, max_new_tokens=32)
        driver.run()
        distinct.append(sum(len(set(tokens)) for tokens in driver.outputs.values()))
    assert distinct[1] > distinct[0]


@pytest.mark.parametrize("max_in_flight", [1, 2])
def test_the_text_is_the_same_with_compiled_kernels_and_on_torch(
    tmp_path: Path, max_in_flight: int
) -> None:
    extension()
    model_dir = make_tiny_model(tmp_path)
    sampling = [
        replace(PARAMS[i % len(PARAMS)], max_new_tokens=40, sampling_seed=i) for i in range(12)
    ]
    answers = []
    for name in ("torch", "auto"):
        options: dict[str, Any] = {"cpu_kernels": name, "max_in_flight": max_in_flight}
        with LLM(model_dir, max_total_tokens=4096, check=True, **options) as llm:
            generations = llm.generate(PROMPTS, sampling)
        assert isinstance(generations, list)
        answers.append([each.text for each in generations])
    assert answers[0] == answers[1]
    assert len(set(answers[0])) == 12 and all(answers[0])
