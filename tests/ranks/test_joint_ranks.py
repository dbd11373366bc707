"""Lanes of DP-attention: each request's tokens are those of one rank, and its KV is in one lane."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from sglite.errors import RankLostError
from sglite.executors.lane_executor import LaneExecutor
from sglite.lanes.laned_engine import DeferredExecutor, LaneStep
from sglite.models.spec import DecoderSpec
from sglite.request import LogprobParams, SamplingParams
from sglite.sampling import TokenMasks
from tests.engine.harness import GREEDY, Driver
from tests.ranks.test_leader_executor import scores_of, spec  # noqa: F401  a fixture
from tests.ranks.thread_ranks import decoder_of, random_weights, thread_ranks

NUM_PAGES = 60
OPTIONS: dict[str, Any] = {"page_size": 4, "chunked_prefill_size": 7}


def lanes(size: int) -> dict[str, Any]:
    return {**OPTIONS, "tp_size": size, "dp_size": size, "enable_dp_attention": True}


def add_requests(driver: Driver, count: int = 12) -> None:
    """Shared prefixes, sampling and scores; more of them than a lane has rows for."""
    shuffle = random.Random(3)
    shared = [shuffle.randrange(101) for _ in range(20)]
    for number in range(count):
        prompt = shared[: 5 + 2 * (number % 8)] + [shuffle.randrange(101) for _ in range(3)]
        traits: dict[str, Any] = {}
        if number % 3 == 1:
            sampling = SamplingParams(temperature=1.0, ignore_eos=True, presence_penalty=0.5)
            traits = {"sampling": sampling, "seed": number}
        if number % 4 == 2:
            traits["logprobs"] = LogprobParams(start_len=2, top_num=2)
        driver.add(f"r{number}", prompt, max_new_tokens=3 + number, **traits)


def alone(spec: DecoderSpec, weights: dict[str, torch.Tensor]) -> Driver:  # noqa: F811
    driver = Driver.make(
        decoder_of(spec, weights, None), num_pages=NUM_PAGES, context_length=512, **OPTIONS
    )
    add_requests(driver)
    driver.run()
    return driver


def pool_bytes(executor: LaneExecutor) -> int:
    return executor._own._kv_pool.num_bytes


@pytest.mark.parametrize("size", [2, 3])
def test_lanes_say_what_one_rank_says(spec: DecoderSpec, size: int) -> None:  # noqa: F811
    weights = random_weights(spec)
    expected = alone(spec, weights)
    with thread_ranks(spec, weights, NUM_PAGES // size, **lanes(size)) as (ranks, own):
        driver = ranks.driver(own, NUM_PAGES // size)
        add_requests(driver)
        driver.run()
        num_steps = [lane.counters.num_steps for lane in driver.engine.lanes]
        driver.engine.close()
    assert driver.outputs == expected.outputs
    assert scores_of(driver) == pytest.approx(scores_of(expected), abs=1e-4)
    assert all(num_steps), "every lane had requests"
    assert ranks.faults == {}
    whole = expected.engine.executor._kv_pool.num_bytes
    assert all(pool_bytes(each) == whole // size for each in ranks.executors.values())


def test_masks_reach_the_lane_that_draws(
    spec: DecoderSpec,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = torch.zeros((1, 4), dtype=torch.int32)
    words[0, 0] = 1 << 7
    keep = DeferredExecutor.sample
    with thread_ranks(spec, random_weights(spec), 16, **lanes(2)) as (ranks, own):
        driver = ranks.driver(own, 16)
        engine = driver.engine

        def sample(self: DeferredExecutor, handle: LaneStep, masks: Any = None) -> None:
            is_second = self is engine.lanes[1].executor
            keep(self, handle, TokenMasks([0], words) if is_second else masks)

        monkeypatch.setattr(DeferredExecutor, "sample", sample)
        driver.add("first", [1, 2, 3], max_new_tokens=4, sampling=GREEDY)
        driver.add("second", [1, 2, 3], max_new_tokens=4, sampling=GREEDY)
        assert "second" in engine.schedulers[1].live
        driver.run()
        engine.close()
    assert driver.outputs["second"] == [7] * 4
    assert driver.outputs["first"] != [7] * 4


def test_a_lane_that_fails_ends_the_engine_with_its_words(spec: DecoderSpec) -> None:  # noqa: F811
    def wrap(rank: int, executor: LaneExecutor) -> LaneExecutor:
        run, num_steps = executor.run, iter(range(9))

        def fail_in_third(*arguments: Any) -> Any:
            if next(num_steps) == 2:
                raise ArithmeticError("a broken kernel")
            return run(*arguments)

        executor.run = fail_in_third  # type: ignore[method-assign]
        return executor

    weights = random_weights(spec)
    with thread_ranks(spec, weights, 16, wrap=wrap, timeout_s=5.0, **lanes(2)) as (ranks, own):
        driver = ranks.driver(own, 16)
        driver.add("r", [1, 2, 3], max_new_tokens=9)
        with pytest.raises(RankLostError, match="a broken kernel"):
            driver.run()
        driver.engine.close()
    assert isinstance(ranks.faults[1], ArithmeticError)
