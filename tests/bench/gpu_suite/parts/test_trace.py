from __future__ import annotations

import gzip
import json

from sglite.bench.gpu_suite.parts import trace


def test_trace_can_be_opened(make_suite):
    suite = make_suite("trace")
    trace.run(suite)
    events = json.loads(gzip.decompress((suite.out / trace.FILE).read_bytes()))["traceEvents"]
    assert any(event.get("name") == "aten::linear" for event in events)
    (busy,) = suite.recorder.result.figures
    assert 0 < busy.value <= 100
