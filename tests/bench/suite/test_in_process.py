"""sglite in this process gives as many tokens as are asked for, with times."""

from __future__ import annotations

from sglite.bench.suite.in_process import InProcess
from sglite.bench.suite.workloads import Ask


def test_it_loads_answers_and_closes():
    engine = InProcess(None, {"skip_tokenizer_init": True, "max_total_tokens": 256})
    assert engine.load() > 0
    assert engine.version.startswith("sglite ")
    asks = [Ask([300, 301, 302], 4), Ask([400], 2)]
    answers = engine.batch(asks)
    assert [len(output) for output in answers.outputs] == [4, 2]
    assert answers.seconds > 0 and answers.first_s is None
    streamed = engine.stream(asks[0])
    assert streamed.outputs == [answers.outputs[0]]
    assert 0 < streamed.first_s < streamed.seconds
    engine.close()
    engine.close()
