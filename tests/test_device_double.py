"""The lazy device works late and in order; the recording one replays operations, not Python."""

from __future__ import annotations

import threading

import pytest
import torch

from tests.device_double import BusyDevice, LazyDevice, RecordingDevice


def test_nothing_is_done_before_a_wait_and_then_only_what_the_event_is_behind():
    device, done = LazyDevice(), []
    device.run(lambda: done.append("first"))
    event = device.record()
    device.run(lambda: done.append("second"))

    assert done == []
    event.wait()
    assert done == ["first"]
    event.wait()
    assert done == ["first"]
    device.synchronize()
    assert done == ["first", "second"]
    assert (device.num_runs, device.num_done) == (2, 2)


def test_a_graph_is_done_once_in_vain_and_then_at_its_replays():
    device, total = LazyDevice(), torch.zeros(())
    graph = device.capture(lambda: total.add_(1))
    device.synchronize()
    assert total == 1  # once in vain, as a GPU warms up

    graph.replay()
    device.run(lambda: total.mul_(10))
    graph.replay()
    assert total == 1
    device.synchronize()

    assert total == 21
    assert (device.num_captures, device.num_replays) == (1, 2)


def test_a_staging_buffer_that_is_overwritten_too_early_gives_something_wrong():
    device, result = LazyDevice(), torch.zeros(2, dtype=torch.int32)
    words = device.host_words(2)
    assert words.dtype == torch.int32 and words.tolist() == [0, 0]
    words.fill_(1)
    device.run(lambda: result.copy_(words))
    words.fill_(2)
    device.synchronize()

    assert result.tolist() == [2, 2]


def test_a_fault_is_raised_by_the_waits_and_ends_all_work():
    device, done = LazyDevice(), []
    device.run(lambda: done.append(1))
    before = device.record()
    device.run(lambda: 1 // 0)
    device.run(lambda: done.append(2))

    before.wait()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            device.synchronize()
    assert done == [1]


def test_the_half_of_its_memory_is_free():
    free_bytes, total_bytes = LazyDevice().memory()

    assert total_bytes == 2 * free_bytes


def test_a_recorded_graph_sees_new_values_of_tensors_and_old_ones_of_the_host():
    device, number, factor = RecordingDevice(), torch.ones(3), 2.0
    result = torch.zeros(2, 3)

    def work():
        doubled = number * factor
        doubled[1:] += 1
        result[0].copy_(doubled)
        result[1].copy_(torch.rms_norm(number, (3,)))

    graph = device.capture(work)
    number.fill_(5)
    factor = 100.0
    assert result[0].tolist() == [2, 3, 3]
    graph.replay()
    assert result[0].tolist() == [2, 3, 3]
    device.synchronize()

    assert result[0].tolist() == [10, 11, 11]
    torch.testing.assert_close(result[1], torch.ones(3))


def test_what_a_graph_leaves_in_temporaries_is_gone():
    device, number, kept = RecordingDevice(), torch.ones(3), []
    device.capture(lambda: kept.append(number + 1)).replay()
    device.synchronize()
    assert kept[0].tolist() == [2, 2, 2]
    device.capture(lambda: number + 2)

    assert kept[0].isnan().all()
    assert number.tolist() == [1, 1, 1]


def test_a_capture_that_waits_for_a_value_is_refused():
    number = torch.ones(3)
    for work in (lambda: number[0].item(), lambda: bool(number.any()), lambda: number.nonzero()):
        with pytest.raises(AssertionError, match="cannot wait"):
            RecordingDevice().capture(work)


def test_the_busy_device_works_though_nobody_waits():
    device, is_done = BusyDevice(), threading.Event()
    total = torch.zeros(())
    graph = device.capture(lambda: total.add_(1))
    graph.replay()
    device.run(is_done.set)
    assert is_done.wait(10)
    assert total == 2
    device.close()


def test_the_busy_device_raises_its_fault_to_who_waits():
    device, done = BusyDevice(), []
    device.run(lambda: 1 // 0)
    device.run(lambda: done.append(1))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            device.synchronize()
    assert done == []
    device.close()
