"""The whole engine against transformers: one checkpoint, every way to run it.

A strength-3 covering set over page size, chunk, cache, batch, retraction and steps in flight:
every combination of any three of their values occurs in some row.
"""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import pytest
import torch

from sglite.models.decoder import Decoder
from tests.covering import covering_array
from tests.engine.harness import Driver
from tests.model_harness import Reference, load_decoder, num_comparable, transformers_reference
from tests.models.parity_models import make_model

FACTORS: dict[str, list[Any]] = {
    "page_size": [1, 2, 16, 64],
    "chunk": [1, 7, 16, 512],
    "cache": ["off", "on", "full hit"],
    "batch": [1, 2, 7, 64],
    "retract": [False, True],
    "in_flight": [1, 2],
}
ROWS = covering_array(FACTORS, strength=3)
NUM_TOKENS = 12
NUM_BASES = 4
BASE_PROMPT = 3
PROMPT_STEP = 2


@pytest.fixture(scope="module")
def checkpoint() -> tuple[Decoder, Reference]:
    """A model with full and windowed layers, and greedy sequences of transformers."""
    row = {
        "variant": "qwen3-bias-window", "rope": "default", "gqa_ratio": 2, "head_dim": 64,
        "tied": True,
    }  # fmt: skip
    model = make_model(row)
    generator = torch.Generator().manual_seed(16)
    prompts = torch.randint(0, 256, (NUM_BASES, BASE_PROMPT), generator=generator)
    num_tokens = PROMPT_STEP * 16 + NUM_TOKENS
    return load_decoder(model), transformers_reference(model, prompts, num_tokens=num_tokens)


def cases(reference: Reference, count: int) -> list[tuple[list[int], list[int]]]:
    """``count`` prompts with what must follow: ever longer starts of a few greedy sequences."""
    found = []
    for number in range(count):
        base, skipped = number % NUM_BASES, number // NUM_BASES * PROMPT_STEP
        token_ids = reference.token_ids[base].tolist()
        start = BASE_PROMPT + skipped
        logits = reference.decode_logits[base, skipped : skipped + NUM_TOKENS]
        comparable = num_comparable(logits)
        found.append((token_ids[:start], token_ids[start : start + comparable]))
    return found


def row_id(row: dict[str, Any]) -> str:
    return "-".join(f"{name}={value}" for name, value in row.items()).replace(" ", "_")


def run_row(decoder: Decoder, reference: Reference, row: dict[str, Any]) -> None:
    driver = Driver.make(
        decoder,
        page_size=row["page_size"],
        num_pages=4800 // row["page_size"],
        chunked_prefill_size=row["chunk"],
        disable_radix_cache=row["cache"] == "off",
        max_in_flight=row["in_flight"],
        retract_every=5 if row["retract"] else 0,
    )
    checks = cases(reference, row["batch"])
    for turn in range(2 if row["cache"] == "full hit" else 1):
        for number, (prompt, _) in enumerate(checks):
            driver.add(f"r{turn}-{number}", prompt, max_new_tokens=NUM_TOKENS)
        driver.run()
        for number, (prompt, expected) in enumerate(checks):
            name = f"r{turn}-{number}"
            assert driver.outputs[name][: len(expected)] == expected, f"{name} {prompt}"
            assert len(driver.outputs[name]) == NUM_TOKENS
            if turn == 1:
                page_size = row["page_size"]
                cached = (len(prompt) - 1) // page_size * page_size
                assert driver.finishes[name].num_cached_tokens == cached
    if row["cache"] == "off":
        assert all(finish.num_cached_tokens == 0 for finish in driver.finishes.values())
    if row["retract"] and row["batch"] > 2:
        assert sum(finish.num_retractions for finish in driver.finishes.values()) > 0
    driver.engine.close()


def test_the_covering_set_is_as_large_as_promised() -> None:
    assert 64 <= len(ROWS) <= 90


def test_references_are_varied(checkpoint: tuple[Decoder, Reference]) -> None:
    _, reference = checkpoint
    for token_ids in reference.token_ids.tolist():
        assert len(set(token_ids[BASE_PROMPT:])) >= 16
    for prompt, expected in cases(reference, 64):
        assert len(set(expected)) >= 6, f"{prompt} -> {expected}"


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_tokens_are_those_of_transformers(
    checkpoint: tuple[Decoder, Reference], row: dict[str, Any]
) -> None:
    run_row(*checkpoint, row)


def test_a_wrong_page_is_caught(checkpoint: tuple[Decoder, Reference]) -> None:
    """The comparison above has teeth: a request that reads a page twice, and one never, fails."""
    decoder, reference = checkpoint
    driver = Driver.make(decoder, page_size=2, num_pages=512, chunked_prefill_size=7)
    prompt, expected = cases(reference, 64)[-1]
    driver.add("r", prompt, max_new_tokens=NUM_TOKENS)
    table = driver.engine.executor._rows.pages.tables[0]  # type: ignore[attr-defined]
    while driver.engine.has_work:
        outputs = driver.engine.step()
        driver.outputs["r"] += [token for _, token in outputs.tokens]
        if len(driver.outputs["r"]) == 1:
            table[0, 1] = table[0, 0]
    assert driver.outputs["r"] != expected


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_a_sample_of_the_full_product(checkpoint: tuple[Decoder, Reference], part: int) -> None:
    everything = [dict(zip(FACTORS, values, strict=True)) for values in product(*FACTORS.values())]
    for row in random.Random(part).sample(everything, 25):
        run_row(*checkpoint, row)
