from __future__ import annotations

import pytest

from sglite.bench.gpu_suite.driving import (
    SAMPLED,
    Run,
    engine_config,
    runner_for,
    sorted_out,
)
from sglite.bench.gpu_suite.workload import Ask, equal_batch
from sglite.errors import ConfigError
from sglite.request import (
    FinishReason,
    LogprobParams,
    OutputBatch,
    RequestFinish,
    RequestTimings,
)


def finish(request_id: str, reason: FinishReason) -> RequestFinish:
    return RequestFinish(
        request_id=request_id,
        reason=reason,
        message="too hot",
        num_prompt_tokens=1,
        num_output_tokens=1,
        num_cached_tokens=0,
        num_retractions=0,
        max_new_tokens=1,
        timings=RequestTimings(arrival_s=0.0),
    )


def test_unknown_options_are_dropped_in_a_dry_run_alone(make_suite):
    suite = make_suite("offline")
    assert engine_config(suite, option_of_the_future=1, page_size=32).page_size == 32
    with pytest.raises(ConfigError):
        engine_config(suite, page_size=-1)


def test_answers_are_sorted_out_by_request():
    turns = [
        (1.0, OutputBatch(tokens=[("a", 5)])),
        (3.0, OutputBatch(tokens=[("b", 6), ("a", 7)])),
        (6.0, OutputBatch(tokens=[("b", 8), ("a", 9)])),
        (7.0, OutputBatch(finished=[finish("a", FinishReason.LENGTH)])),
    ]
    run = sorted_out(["b", "a"], turns, 7.5)
    assert run.outputs == [[6, 8], [5, 7, 9]]
    assert run.first_turns == [1, 0]
    assert run.num_tokens == 5
    assert run.turns_of(2) == [2]  # the turn before gave two as well
    assert run.seconds_of([1, 2]) == [2.0, 3.0]


def test_a_request_that_fails_is_no_measurement():
    turns = [(1.0, OutputBatch(finished=[finish("a", FinishReason.ERROR)]))]
    with pytest.raises(RuntimeError, match="too hot"):
        sorted_out(["a"], turns, 1.0)


def test_runner_answers_and_the_next_part_gets_the_same(make_suite):
    suite = make_suite("offline")
    runner = runner_for(suite, suite.sizes.model)
    asks = [Ask([1, 2, 3], 4), Ask([5], 2)]
    run: Run = runner.run(asks, logprobs=LogprobParams(top_num=2))
    assert [len(output) for output in run.outputs] == [4, 2]
    assert [len(scores) for scores in run.logprobs] == [4, 2]
    assert run.logprobs[0][0].token_id == run.outputs[0][0]
    assert runner.run(asks).outputs == run.outputs
    assert runner.run(asks, SAMPLED).outputs != runner.run(asks, SAMPLED).outputs
    assert runner_for(suite, suite.sizes.model) is runner
    assert runner_for(suite, suite.sizes.model, max_running_requests=2) is not runner


@pytest.mark.parametrize("max_in_flight", [1, 2])
def test_a_cache_that_was_emptied_has_no_hits(make_suite, max_in_flight):
    suite = make_suite("offline")
    runner = runner_for(suite, suite.sizes.model, max_in_flight=max_in_flight)
    asks = equal_batch(1, 40, 1, vocab=100)
    runner.run(asks)
    runner.run(asks)
    assert runner.engine.counters.num_cached_tokens == 32
    runner.forget()
    runner.run(asks)
    assert runner.engine.counters.num_cached_tokens == 32
