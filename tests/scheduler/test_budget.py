"""The estimates converge on what happens, and the budget follows them."""

from __future__ import annotations

import random

import pytest

from sglite.config import SchedulerOptions
from sglite.scheduler.budget import (
    ALONE,
    FIRST_CHUNK,
    MAX_ESTIMATED_NEW_TOKENS,
    MIN_CHUNK,
    UNLIMITED,
    ChunkBudget,
    NewTokenEstimate,
    StepCostModel,
    StepWork,
)
from tests.scheduler.building import make_sequence

WEIGHTS = [0.004, 0.0002, 0.0015, 0.0005, 0.12]
"""Seconds: of a step, a decode, a thousand of its keys, a prompt token, a million of its pairs."""


def step_time(work: StepWork) -> float:
    parts = (
        1,
        work.num_decodes,
        work.num_decode_keys / 1e3,
        work.num_prompt_tokens,
        work.num_prompt_pairs / 1e6,
    )
    return sum(weight * part for weight, part in zip(WEIGHTS, parts, strict=True))


def work_of(num_decodes: int, keys: int, start: int = 0, length: int = 0) -> StepWork:
    work = StepWork(num_decodes, keys)
    work.add_chunk(start, length)
    return work


def learn(model, num_steps: int, *, noise: float = 0.0, slower: float = 1.0) -> None:
    rng = random.Random(0)
    for _ in range(num_steps):
        work = work_of(rng.randrange(64), rng.randrange(20_000))
        work.add_chunk(rng.randrange(4_000), rng.choice([16, 64, 256]))
        model.observe(work, slower * step_time(work) * rng.uniform(1 - noise, 1 + noise))


def test_pairs_are_what_each_token_of_a_chunk_sees():
    work = work_of(3, 70, start=10, length=4)
    work.add_chunk(0, 2)
    assert work == StepWork(3, 70, 6, 10 * 4 + 4 * 4 // 2 + 2)


def test_cost_model_finds_the_parts_of_a_steps_time():
    model = StepCostModel()
    learn(model, 200)
    assert model.weights == pytest.approx(WEIGHTS, rel=0.02)


def test_cost_model_stands_noise():
    model = StepCostModel()
    learn(model, 400, noise=0.1)
    work = work_of(8, 10_000)
    tokens = model.tokens_within(0.1, work, 1000)
    work.add_chunk(1000, tokens)
    # Times spread by 5 % on average, so the steps aim at 0.1 / 1.1.
    assert step_time(work) == pytest.approx(0.1 / 1.1, rel=0.05)


def test_cost_model_follows_a_machine_that_becomes_slower():
    model = StepCostModel()
    learn(model, 300)
    learn(model, 400, slower=3.0)
    assert model.weights[3] == pytest.approx(3 * WEIGHTS[3], rel=0.05)


def test_cost_model_stands_equal_steps_for_ever():
    model, work = StepCostModel(), work_of(8, 1000, 0, 64)
    for _ in range(20_000):
        model.observe(work, step_time(work))
    learn(model, 400)
    assert model.weights[3] == pytest.approx(WEIGHTS[3], rel=0.02)


def test_without_knowledge_a_moderate_chunk_is_tried():
    assert StepCostModel().tokens_within(0.1, work_of(4, 100), 0) == FIRST_CHUNK


@pytest.mark.parametrize("start", [0, 3000])
def test_chunk_takes_what_decodes_and_its_own_context_leave(start):
    model = StepCostModel()
    learn(model, 200)
    for num_decodes, keys in [(0, 0), (16, 0), (16, 20_000)]:
        tokens = model.tokens_within(0.2, work_of(num_decodes, keys), start)
        work = work_of(num_decodes, keys, start, tokens)
        assert step_time(work) == pytest.approx(0.2, rel=0.03)


def test_decodes_that_all_read_as_many_keys_leave_room_for_prompts():
    # A step of 10 ms and 1 ms a decode: each of the two weights alone may come out as anything.
    model = StepCostModel()
    rng = random.Random(1)
    for _ in range(60):
        num_decodes, length = rng.randrange(1, 32), rng.choice([8, 16, 64])
        work = work_of(num_decodes, 2_064 * num_decodes, 2_048, length)
        seconds = 0.01 + 0.001 * num_decodes + 0.002 * length
        model.observe(work, seconds * rng.uniform(0.97, 1.03))
    model.weights[1] += 0.5
    model.weights[2] -= 0.5 / 2.064
    work = work_of(20, 2_064 * 20)
    assert model.tokens_within(0.2, work, 2_048) == pytest.approx(85 / (1 + 2 * 0.02), rel=0.1)


@pytest.mark.parametrize("target_ms", [20.0, 50.0, 200.0])
def test_chunk_budget_follows_the_target(target_ms):
    budget = ChunkBudget(SchedulerOptions(target_itl_ms=target_ms))
    learn(budget, 200)
    work = work_of(4, 2000)
    work.has_streams = True
    work.add_chunk(500, budget.tokens(work, 500))
    assert step_time(work) == pytest.approx(target_ms / 1000, rel=0.05)


@pytest.mark.parametrize("num_decodes", [0, 16])
def test_while_no_stream_waits_for_a_token_chunks_are_larger(num_decodes):
    budget = ChunkBudget(SchedulerOptions(target_itl_ms=100.0))
    learn(budget, 200)
    work = work_of(num_decodes, 1000 * num_decodes)
    work.add_chunk(0, budget.tokens(work, 0))
    assert step_time(work) == pytest.approx(ALONE * 0.1, rel=0.05)


def test_steps_of_decodes_alone_do_not_blur_what_prompts_cost():
    budget = ChunkBudget(SchedulerOptions(target_itl_ms=100.0))
    learn(budget, 200)
    before = budget.tokens(work_of(8, 5000), 0)
    for count in range(2000):
        budget.observe(work_of(count % 16, 5000), 0.03)  # bound by memory: no slope at all
    assert budget.tokens(work_of(8, 5000), 0) == before


def test_prompts_move_on_even_when_decodes_take_all_the_time():
    budget = ChunkBudget(SchedulerOptions(target_itl_ms=5.0))
    learn(budget, 100)
    work = work_of(256, 100_000)
    work.has_streams = True
    assert budget.tokens(work, 0) == MIN_CHUNK


def test_fixed_chunk_does_not_depend_on_time():
    budget = ChunkBudget(SchedulerOptions(chunked_prefill_size=100))
    learn(budget, 10)
    assert budget.tokens(StepWork(), 0) == budget.tokens(work_of(200, 50_000), 9) == 100
    assert budget.cost.num_samples == 0


def test_minus_one_means_whole_prompts():
    assert (
        ChunkBudget(SchedulerOptions(chunked_prefill_size=-1)).tokens(StepWork(9, 9), 9)
        == UNLIMITED
    )


def test_step_without_a_time_teaches_nothing():
    budget = ChunkBudget(SchedulerOptions())
    budget.observe(work_of(0, 0, 0, 10), 0.0)
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
