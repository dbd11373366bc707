from __future__ import annotations

import time

from sglite.bench.gpu_suite.results import Recorder
from sglite.bench.gpu_suite.roofline import NOMINAL, Rates
from sglite.bench.gpu_suite.suite import PRODUCT, READ


def test_rates_are_those_that_the_machine_gave(make_suite, tmp_path):
    suite = make_suite("offline")
    assert suite.rates() == NOMINAL
    assert "nominal" in suite.recorder.result.details["rates"]
    machine = Recorder(tmp_path, "machine")
    machine.figure(READ, 4000.0, "GB/s")
    machine.figure(PRODUCT, 700.0, "TFLOP/s")
    assert suite.rates() == Rates(4e12, 7e14)


def test_figures_and_failures_are_said(make_suite, capsys):
    suite = make_suite("single")
    suite.figure("one stream", 1234.5, "tok/s", 2469.0)
    suite.check("right", True)
    suite.check("wrong", False, "by far")
    said = capsys.readouterr().out
    assert "single: one stream: 1,234 tok/s (50% of the limit)" in said
    assert "FAILED wrong: by far" in said and "right" not in said
    assert len(suite.recorder.result.checks) == 2


def test_time_left_shrinks_to_the_end(make_suite):
    suite = make_suite("single")
    suite.ends_at_s = time.time() + 100
    assert 99 < suite.left_s <= 100
    assert not suite.is_cuda
