"""T14 over many steps: ranks carry out random plans and never part."""

from __future__ import annotations

import random

import pytest

from sglite.models.hf_config import HFConfig
from sglite.models.registry import spec_from_hf
from sglite.models.spec import DecoderSpec
from sglite.request import SamplingParams
from tests.engine.harness import GREEDY, Driver
from tests.ranks.thread_ranks import random_weights, thread_ranks

NUM_PAGES = 60
NUM_STEPS = 100_000
SAMPLED = SamplingParams(temperature=1.0, ignore_eos=True)


def make_spec() -> DecoderSpec:
    """The smallest model there can be: what is tested is not in the layers."""
    return spec_from_hf(
        HFConfig.from_dict(
            {
                "architectures": ["Qwen3ForCausalLM"],
                "num_hidden_layers": 1,
                "hidden_size": 8,
                "intermediate_size": 8,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "head_dim": 4,
                "vocab_size": 97,
                "max_position_embeddings": 256,
                "rms_norm_eps": 1e-6,
                "rope_theta": 10000.0,
                "tie_word_embeddings": False,
            }
        )
    )


def run_steps(driver: Driver, num_steps: int) -> None:
    """Random arrivals with shared prefixes, aborts and retractions, for so many steps."""
    chance = random.Random(7)
    shared = [chance.randrange(97) for _ in range(40)]
    engine, alive, number = driver.engine, [], 0
    while engine.counters.num_steps < num_steps:
        while len(alive) < 6 and chance.random() < 0.5:
            number += 1
            prompt = shared[: chance.randrange(40)] + [chance.randrange(97) for _ in range(5)]
            sampling = chance.choice([GREEDY, SAMPLED])
            name, length = f"r{number}", chance.randrange(1, 30)
            driver.add(name, prompt, max_new_tokens=length, sampling=sampling, seed=number)
            alive.append(name)
        if alive and chance.random() < 0.02:
            engine.abort(chance.choice(alive))
        running = engine.scheduler.batch.running
        if len(running) > 1 and chance.random() < 0.02:
            engine.scheduler.retract(running[-1].request_id)
        for finish in engine.step().finished:
            alive.remove(finish.request_id)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(("tp_size", "in_flight", "num_steps"), [(2, 2, NUM_STEPS), (2, 1, 10_000)])
def test_ranks_never_part(tp_size: int, in_flight: int, num_steps: int) -> None:
    spec = make_spec()
    options = {"page_size": 4, "chunked_prefill_size": 9, "max_in_flight": in_flight}
    with thread_ranks(
        spec, random_weights(spec), NUM_PAGES, tp_size=tp_size, check=False, **options
    ) as (ranks, own):
        driver = ranks.driver(own, NUM_PAGES)
        run_steps(driver, num_steps)
        assert ranks.faults == {}
        assert driver.engine.counters.num_retractions > 0
        driver.engine.close()
