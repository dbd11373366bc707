from __future__ import annotations

from sglite.bench.gpu_suite.parts import single


def test_a_stream_and_first_tokens_are_measured(make_suite):
    suite = make_suite("single")
    single.run(suite)
    names = [figure.name for figure in suite.recorder.result.figures]
    assert names[0] == "one stream"
    assert len([name for name in names if "step at context" in name]) == single.NUM_PIECES
    assert names[-2:] == [
        "first token, 4 tokens of prompt",
        "first token, 40 tokens of prompt",
    ]
    assert all(figure.limit for figure in suite.recorder.result.figures)
    assert suite.runner.engine.counters.num_cached_tokens == 0
