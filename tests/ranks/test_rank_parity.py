"""Several ranks say what one says: every architecture, 200 prompts, every way to run them."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from sglite.models.registry import spec_from_hf
from tests.engine.harness import Driver
from tests.model_harness import hf_config_of, load_decoder, num_comparable, transformers_reference
from tests.models.parity_models import VARIANTS, make_model
from tests.ranks.thread_ranks import thread_ranks

NUM_PROMPTS = 200
NUM_TOKENS = 12
NUM_BASES = 10
NUM_PAGES = 90
"""Too few for what is asked at once, so that some are retracted."""


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("tp_size", [1, 2, 4])
@pytest.mark.parametrize("variant", VARIANTS)
def test_200_prompts_with_cache_chunks_and_retractions(variant: str, tp_size: int) -> None:
    """Against transformers' greedy tokens, up to the first near tie of each."""
    row = {"variant": variant, "rope": "default", "gqa_ratio": 2, "head_dim": 64, "tied": False}
    model = make_model(row)
    generator = torch.Generator().manual_seed(16)
    bases = torch.randint(0, 256, (NUM_BASES, 3), generator=generator)
    reference = transformers_reference(model, bases, num_tokens=2 * 20 + NUM_TOKENS)
    options: dict[str, Any] = {"page_size": 4, "chunked_prefill_size": 7, "max_in_flight": 2}
    if tp_size == 1:
        driver = Driver.make(
            load_decoder(model), num_pages=NUM_PAGES, retract_every=5, max_running_requests=16,
            context_length=512, **options,
        )  # fmt: skip
        check_prompts(driver, reference)
        return
    spec, weights = spec_from_hf(hf_config_of(model)), model.state_dict()
    with thread_ranks(spec, weights, NUM_PAGES, tp_size=tp_size, **options) as (ranks, own):
        driver = ranks.driver(own, NUM_PAGES, retract_every=5)
        check_prompts(driver, reference)
        driver.engine.close()
    assert ranks.faults == {}


def check_prompts(driver: Driver, reference: Any) -> None:
    """Run ever longer starts of the reference's sequences in an order that shares prefixes."""
    expected = {}
    order = random.Random(2).sample(range(NUM_PROMPTS), NUM_PROMPTS)
    for number in order:
        base, skipped = number % NUM_BASES, number // NUM_BASES * 2
        token_ids = reference.token_ids[base].tolist()
        start = 3 + skipped
        logits = reference.decode_logits[base, skipped : skipped + NUM_TOKENS]
        expected[f"r{number}"] = token_ids[start : start + num_comparable(logits)]
        driver.add(f"r{number}", token_ids[:start], max_new_tokens=NUM_TOKENS)
    driver.run()
    for name, tokens in expected.items():
        assert driver.outputs[name][: len(tokens)] == tokens, name
    finishes = driver.finishes.values()
    assert sum(finish.num_retractions for finish in finishes) > 0
    assert sum(finish.num_cached_tokens for finish in finishes) > NUM_PROMPTS
    assert sum(map(len, expected.values())) > NUM_PROMPTS * NUM_TOKENS // 2
