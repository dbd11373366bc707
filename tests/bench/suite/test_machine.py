from __future__ import annotations

import pytest
import torch

from sglite.bench.suite.machine import (
    Rates,
    busy_seconds,
    describe_machine,
    measure_rates,
    median_rates,
)


def test_rates_are_measured_for_the_types_asked_for():
    rates = measure_rates(torch.float32, read_bytes=1 << 20, matrix_size=64)
    assert rates.read_bytes_per_s > 0 and rates.flop_per_s > 0
    assert rates.int8_ops_per_s is None
    rates = measure_rates(torch.bfloat16, with_int8=True, read_bytes=1 << 20, matrix_size=64)
    assert rates.int8_ops_per_s > 0


def test_each_rate_has_its_own_median():
    readings = [
        Rates(read_bytes_per_s=3, flop_per_s=10),
        Rates(read_bytes_per_s=1, flop_per_s=30, int8_ops_per_s=7),
        Rates(read_bytes_per_s=2, flop_per_s=20),
    ]
    assert median_rates(readings) == Rates(read_bytes_per_s=2, flop_per_s=20, int8_ops_per_s=7)
    assert median_rates(readings[:2]).read_bytes_per_s == 2


def test_busy_seconds_add_up_what_worked(tmp_path):
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 200 300 5000 0 0 0 400 0 0\ncpu0 1 1\n")
    seconds = busy_seconds(stat)
    assert seconds["busy_s"] == pytest.approx(1.5 * seconds["steal_s"])
    assert busy_seconds(tmp_path / "none") == {}


def test_the_processor_has_its_name(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\n")
    machine = describe_machine(cpuinfo)
    assert machine["processor"] == "Some CPU @ 3 GHz"
    assert machine["threads"] == torch.get_num_threads()
    assert describe_machine(tmp_path / "none")["processor"]
