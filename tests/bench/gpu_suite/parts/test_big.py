from __future__ import annotations

import dataclasses

import pytest

from sglite.bench.gpu_suite.parts import big
from sglite.bench.gpu_suite.sizes import FULL
from sglite.bench.gpu_suite.suite import LeftOutError


@pytest.fixture
def measured(monkeypatch):
    calls = []
    monkeypatch.setattr(
        big.offline, "measure", lambda suite, shape, **options: calls.append(options)
    )
    return calls


@pytest.mark.parametrize(("left_s", "num_requests"), [(500.0, 256), (60.0, 64)])
def test_as_much_is_run_as_there_is_time_for(make_suite, measured, left_s, num_requests):
    suite = make_suite("big")
    suite.sizes = FULL
    suite.ends_at_s += left_s - suite.left_s
    big.run(suite)
    assert measured == [{"num_runs": 1, "num_requests": num_requests}]


def test_without_time_it_is_left_out(make_suite, measured):
    suite = make_suite("big")
    suite.sizes = FULL
    suite.ends_at_s = 0.0
    with pytest.raises(LeftOutError, match="too few for Qwen3-14B"):
        big.run(suite)


def test_a_gpu_without_room_is_left_out(make_suite, measured, monkeypatch):
    suite = make_suite("big")
    suite.sizes = dataclasses.replace(FULL)
    suite.device = big.torch.device("cuda")
    monkeypatch.setattr(big.torch.cuda, "mem_get_info", lambda device: (24 << 30, 24 << 30))
    with pytest.raises(LeftOutError, match="24 GiB are free"):
        big.run(suite)
    assert measured == []


def test_a_dry_run_takes_all_of_it(make_suite):
    suite = make_suite("big")
    big.run(suite)
    assert [figure.name for figure in suite.recorder.result.figures] == ["offline, run 1"]
    assert suite.runner is None
