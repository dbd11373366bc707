from __future__ import annotations

import torch

from sglite.bench.gpu_suite import timing


def test_seconds_of_one_work_are_the_median_of_rounds(monkeypatch):
    done: list[str] = []
    rounds = iter([0.001, 0.02, 0.05, 0.01, 0.04, 0.03])  # the first says how many a sample has

    def time_round(work, count):
        work()
        return next(rounds) * count if count > 1 else next(rounds)

    monkeypatch.setattr(timing, "_round_on_cpu", time_round)
    works = [lambda: done.append("a"), lambda: done.append("b")]
    seconds = timing.seconds_each(works, torch.device("cpu"), timed_s=0.004)
    assert seconds == 0.03 / 2
    assert done[:4] == ["a", "b", "a", "b"]


def test_a_round_on_the_cpu_repeats_its_work():
    done: list[int] = []
    assert timing._round_on_cpu(lambda: done.append(1), 3) > 0
    assert done == [1, 1, 1]
