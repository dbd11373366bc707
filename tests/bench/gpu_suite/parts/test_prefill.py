from __future__ import annotations

from sglite.bench.gpu_suite.parts import prefill


def test_chunks_of_many_prompts_and_of_one_are_timed(make_suite):
    suite = make_suite("prefill")
    prefill.run(suite)
    assert [figure.name for figure in suite.recorder.result.figures] == [
        "prefill, 2 prompts of 16",
        "prefill, 1 prompt of 32",
        "prefill, 4 prompts of 16",
        "prefill, 1 prompt of 64",
    ]
    assert suite.runner.engine.counters.num_cached_tokens == 0
