from __future__ import annotations

import torch

from sglite.bench.gpu_suite.parts import machine
from sglite.bench.gpu_suite.suite import PRODUCT, READ


def test_machine_is_described_and_measured(make_suite):
    suite = make_suite("machine")
    machine.run(suite)
    result = suite.recorder.result
    assert result.details["machine"]["torch"] == torch.__version__
    names = [figure.name for figure in result.figures]
    assert READ in names and PRODUCT in names
    assert all(figure.value > 0 for figure in result.figures)
    assert suite.rates().bytes_per_s == result.figure(READ).value * 1e9
    assert result.details["limits of tiny-qwen3"]["offline_tok_s"] > 0


def test_reads_are_not_what_a_copy_counts(make_suite, monkeypatch):
    suite = make_suite("machine")
    monkeypatch.setattr(machine, "seconds_each", lambda works, device, timed_s: 1e-3)
    machine.measure_memory(suite)
    value = {figure.name: figure.value for figure in suite.recorder.result.figures}
    assert value["memory, copy"] == 2 * value["memory, torch's sum"]
    assert value[READ] == value["memory, torch's sum"]


def test_a_machine_without_a_driver_has_none(monkeypatch):
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    assert machine._driver() is None
