"""A paced device is busy for as long as it says, by a clock that the test turns."""

from __future__ import annotations

import pytest
import torch

from sglite.device import paced
from sglite.device.paced import SPIN_S, PacedDevice

TICK_S = 2.0**-16
"""What a look at the clock takes where somebody spins."""


class Clock:
    """Stands in for the module ``time``. Powers of two, so that sums are exact."""

    def __init__(self) -> None:
        self.now_s = 64.0
        self.tick_s = 0.0
        self.slept_s: list[float] = []

    def perf_counter(self) -> float:
        now_s = self.now_s
        self.now_s += self.tick_s
        return now_s

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(paced, "time", clock)
    return clock


def test_steps_queue_behind_each_other(clock: Clock) -> None:
    device = PacedDevice(0.5)
    graph = device.capture(lambda: None)
    events = []
    for _ in range(3):
        graph.replay()
        events.append(device.record())
    assert [event.done_s for event in events] == [64.5, 65.0, 65.5]


def test_gaps_are_what_the_host_left(clock: Clock) -> None:
    device = PacedDevice(0.5)
    graph = device.capture(lambda: None)
    clock.now_s = 64.25  # late for the first step
    graph.replay()
    clock.now_s = 64.5  # the device is still at it
    graph.replay()
    clock.now_s = 65.25  # just as it comes to an end
    graph.replay()
    clock.now_s = 66.75  # a second late
    graph.replay()
    assert device.gaps_s == [0.25, 0.0, 0.0, 1.0]
    assert device.record().done_s == 67.25


@pytest.mark.parametrize("step_s", [2.0**-14, 0.5], ids=["spin", "sleep and spin"])
def test_an_event_waits_until_its_time(clock: Clock, step_s: float) -> None:
    device = PacedDevice(step_s)
    device.begin_step()
    event = device.record()
    clock.tick_s = TICK_S
    event.wait()
    assert event.done_s <= clock.now_s <= event.done_s + 2 * TICK_S
    # Asleep for all but the end, of which a sleep could miss some.
    assert clock.slept_s == ([step_s - SPIN_S] if step_s > SPIN_S else [])


def test_an_event_of_the_past_returns_at_once(clock: Clock) -> None:
    device = PacedDevice(0.5)
    device.begin_step()
    event = device.record()
    clock.now_s = 70.0
    event.wait()
    assert clock.now_s == 70.0
    assert not clock.slept_s


def test_synchronize_waits_for_all_steps(clock: Clock) -> None:
    device = PacedDevice(0.5)
    for _ in range(4):
        device.begin_step()
    clock.tick_s = TICK_S
    device.synchronize()
    assert 66.0 <= clock.now_s <= 66.0 + 2 * TICK_S


def test_other_work_takes_no_time_and_is_not_done(clock: Clock) -> None:
    device = PacedDevice(0.5)
    words = device.host_words(3)
    with device.stream():
        device.run(lambda: words.fill_(7))
    device.capture(lambda: words.fill_(8))
    device.release()
    device.synchronize()
    assert words.dtype == torch.int32
    assert words.tolist() == [0, 0, 0]
    assert device.gaps_s == []
    assert clock.now_s == 64.0
    free_bytes, total_bytes = device.memory()
    assert 0 < free_bytes < total_bytes
