from __future__ import annotations

from sglite.bench.gpu_suite.parts import offline


def test_workload_is_answered_twice_from_an_empty_cache(make_suite):
    suite = make_suite("offline")
    offline.run(suite)
    result = suite.recorder.result
    assert [figure.name for figure in result.figures] == ["offline, run 1", "offline, run 2"]
    assert not result.failed_checks and len(result.checks) == 2
    run = result.details["run 2"]
    assert sum(run["turn_tokens"]) == run["output_tokens"]
    assert run["turn_ends_s"] == sorted(run["turn_ends_s"])
    assert suite.runner.engine.counters.num_cached_tokens == 0


def test_fewer_requests_are_the_first_ones(make_suite):
    suite = make_suite("big")
    offline.measure(suite, suite.sizes.model, num_runs=1, num_requests=2)
    asked = suite.recorder.result.details["run 1"]
    assert len(suite.recorder.result.figures) == 1
    assert asked["input_tokens"] <= 2 * suite.sizes.max_tokens
