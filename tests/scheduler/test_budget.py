"""The estimates converge on what happens, and the budget follows them."""

from __future__ import annotations

import random

import pytest

from sglite.config import SchedulerOptions
from sglite.scheduler.budget import (
    FIRST_CHUNK,
    MAX_ESTIMATED_NEW_TOKENS,
    MIN_CHUNK,
    UNLIMITED,
    ChunkBudget,
    NewTokenEstimate,
    StepCostModel,
)
from tests.scheduler.building import make_sequence

BASE_S, PER_TOKEN_S, PER_1000_KEYS_S = 0.004, 0.0005, 0.0015


def step_time(num_tokens: int, context: int) -> float:
    return BASE_S + PER_TOKEN_S * num_tokens + PER_1000_KEYS_S * context / 1000


def learn(model, num_steps: int, *, noise: float = 0.0, slower: float = 1.0) -> None:
    rng = random.Random(0)
    for _ in range(num_steps):
        num_tokens, context = rng.choice([1, 8, 64, 256]), rng.randrange(20_000)
        elapsed = slower * step_time(num_tokens, context) * rng.uniform(1 - noise, 1 + noise)
        model.observe(num_tokens, context, elapsed)


def test_cost_model_finds_the_parts_of_a_steps_time():
    model = StepCostModel()
    learn(model, 100)
    assert model.weights == pytest.approx([BASE_S, PER_TOKEN_S, PER_1000_KEYS_S], rel=0.01)


def test_cost_model_stands_noise():
    model = StepCostModel()
    learn(model, 400, noise=0.1)
    assert model.tokens_within(0.1, 8, 10_000) == pytest.approx(
        (0.1 - step_time(8, 10_000)) / PER_TOKEN_S, rel=0.1
    )


def test_cost_model_follows_a_machine_that_becomes_slower():
    model = StepCostModel()
    learn(model, 300)
    learn(model, 300, slower=3.0)
    assert model.weights[1] == pytest.approx(3 * PER_TOKEN_S, rel=0.05)


def test_cost_model_stands_equal_steps_for_ever():
    model = StepCostModel()
    for _ in range(20_000):
        model.observe(8, 1000, step_time(8, 1000))
    learn(model, 300)
    assert model.weights[1] == pytest.approx(PER_TOKEN_S, rel=0.02)


def test_without_knowledge_a_moderate_chunk_is_tried():
    assert StepCostModel().tokens_within(0.1, 4, 100) == FIRST_CHUNK


def test_chunk_takes_what_decodes_and_their_context_leave():
    model = StepCostModel()
    learn(model, 100)
    for num_decodes, context in [(0, 0), (16, 0), (16, 20_000)]:
        expected = (0.1 - step_time(num_decodes, context)) / PER_TOKEN_S
        assert model.tokens_within(0.1, num_decodes, context) == pytest.approx(expected, abs=3)


@pytest.mark.parametrize("target_ms", [20.0, 50.0, 200.0])
def test_chunk_budget_follows_the_target(target_ms):
    budget = ChunkBudget(SchedulerOptions(target_itl_ms=target_ms))
    learn(budget, 100)
    tokens = budget.tokens(4, 2000)
    assert step_time(4 + tokens, 2000) == pytest.approx(target_ms / 1000, rel=0.05)


def test_prompts_move_on_even_when_decodes_take_all_the_time():
    budget = ChunkBudget(SchedulerOptions(target_itl_ms=5.0))
    learn(budget, 100)
    assert budget.tokens(256, 100_000) == MIN_CHUNK


def test_fixed_chunk_does_not_depend_on_time():
    budget = ChunkBudget(SchedulerOptions(chunked_prefill_size=100))
    learn(budget, 10)
    assert budget.tokens(0, 0) == budget.tokens(200, 50_000) == 100
    assert budget.cost.num_samples == 0


def test_minus_one_means_whole_prompts():
    assert ChunkBudget(SchedulerOptions(chunked_prefill_size=-1)).tokens(9, 9) == UNLIMITED


def test_step_without_a_time_teaches_nothing():
    budget = ChunkBudget(SchedulerOptions())
    budget.observe(10, 10, 0.0)
    assert budget.cost.num_samples == 0


# -- how much requests will still generate ---------------------------------------------------------


def test_estimate_relaxes_to_its_floor():
    estimate = NewTokenEstimate(1.0)
    ratios = [estimate.ratio]
    for _ in range(1000):
        estimate.relax()
        ratios.append(estimate.ratio)
    assert ratios == sorted(ratios, reverse=True)
    assert (ratios[0], ratios[-1]) == pytest.approx((0.7, 0.1))


def test_retraction_raises_the_estimate_beyond_what_was_shown():
    estimate = NewTokenEstimate(1.0)
    for _ in range(1000):
        estimate.relax()
    sequence = make_sequence("a", max_new_tokens=100)
    for token in range(50):
        sequence.append_token(token)
    estimate.correct([sequence])
    assert estimate.ratio == pytest.approx(0.8)
    estimate.correct([sequence])
    assert estimate.ratio == pytest.approx(0.9)
    for _ in range(3):
        estimate.correct([sequence])
    assert estimate.ratio == 1.0
    estimate.correct([])
    assert estimate.ratio == 1.0


def test_conservativeness_scales_the_estimate():
    careful, bold = NewTokenEstimate(1.3), NewTokenEstimate(0.3)
    assert careful.ratio > bold.ratio
    assert NewTokenEstimate(5.0).ratio == 1.0


def test_reserve_is_the_share_of_what_is_left():
    estimate = NewTokenEstimate(1.0)
    sequences = [make_sequence("ab", max_new_tokens=10), make_sequence("ab", max_new_tokens=30)]
    sequences[1].append_token(1)
    sequences[1].num_pending = 1
    assert estimate.reserve(sequences) == int(0.7 * (10 + 28))
    assert estimate.reserve([]) == 0


def test_huge_limits_do_not_block_admission():
    estimate = NewTokenEstimate(1.0)
    sequence = make_sequence("a", max_new_tokens=10**6)
    assert estimate.reserve([sequence]) == int(0.7 * MAX_ESTIMATED_NEW_TOKENS)
