from __future__ import annotations

import pytest

from sglite.bench.gpu_suite.driving import runner_for
from sglite.bench.gpu_suite.parts import decode_steps
from sglite.bench.gpu_suite.parts.decode_steps import StepsAlone


def test_every_batch_is_timed_and_the_ends_are_profiled(make_suite):
    suite = make_suite("decode_steps")
    decode_steps.run(suite)
    result = suite.recorder.result
    names = [figure.name for figure in result.figures]
    assert names[:2] == ["step, batch 1", "step, batch 4"]
    for batch in (1, 4):
        shares = {
            each.name: each.value
            for each in result.figures
            if each.unit == "%" and each.name.endswith(f"batch {batch}")
        }
        assert sum(shares.values()) == pytest.approx(100)
        assert f"products, batch {batch}" in shares
        assert result.details[f"kernels, batch {batch}"][0]["us"] > 0


@pytest.mark.parametrize("max_in_flight", [1, 2])
def test_steps_alone_decode_the_whole_batch_and_end(make_suite, max_in_flight):
    suite = make_suite("host")
    runner = runner_for(suite, suite.sizes.model, max_in_flight=max_in_flight)
    steps = StepsAlone(runner, 3, suite)
    before = runner.engine.counters.num_output_tokens
    steps.go(2)
    assert runner.engine.counters.num_output_tokens == before + 6
    steps.end()
    assert not runner.engine.has_work
    runner.forget()


def test_a_batch_that_never_decodes_together_is_an_error(make_suite):
    suite = make_suite("host")
    runner = runner_for(suite, suite.sizes.model)
    with pytest.raises(RuntimeError, match="never decoded together"):
        StepsAlone(runner, suite.sizes.max_rows + 1, suite)
