"""Arrays reach the device whole, in order, and are not overwritten on their way."""

from __future__ import annotations

import numpy as np
import pytest

from sglite.device.staging import Layout, Staging
from tests.device_double import LazyDevice


def words(*values: int) -> np.ndarray:
    return np.asarray(values, dtype=np.int32)


@pytest.fixture
def device() -> LazyDevice:
    return LazyDevice()


def test_arrays_lie_apart_and_aligned():
    layout = Layout({"a": 3, "b": 4, "c": 1})
    assert layout.spans == {"a": slice(0, 3), "b": slice(4, 8), "c": slice(8, 9)}
    assert layout.num_words == 12


def test_shorter_arrays_are_padded_with_zeros(device):
    layout = Layout({"a": 3, "b": 2})
    staging = Staging(device, layout.num_words)
    views = staging.bind(layout)
    staging.send(layout, {"a": words(1, 2, 3), "b": words(4, 5)})
    staging.send(layout, {"a": words(6), "b": words()})
    device.synchronize()
    assert views["a"].tolist() == [6, 0, 0]
    assert views["b"].tolist() == [0, 0]


def test_a_buffer_on_its_way_is_not_written_again(device):
    layout = Layout({"a": 1})
    staging = Staging(device, layout.num_words, copies=2)
    view = staging.bind(layout)["a"]
    seen: list[int] = []
    for value in range(7):
        staging.send(layout, {"a": words(value)})
        device.run(lambda: seen.append(int(view[0])))
    device.synchronize()
    assert seen == list(range(7))


def test_the_host_runs_ahead_without_waiting(device):
    layout = Layout({"a": 1})
    staging = Staging(device, layout.num_words, copies=3)
    for value in range(3):
        staging.send(layout, {"a": words(value)})
    assert device.num_done == 0
    staging.send(layout, {"a": words(3)})
    assert device.num_done == 1


def test_more_room_leaves_what_is_under_way_alone(device):
    small, large = Layout({"a": 2}), Layout({"a": 100})
    staging = Staging(device, small.num_words)
    old = staging.bind(small)["a"]
    staging.send(small, {"a": words(1, 2)})
    staging.reserve(large.num_words)
    staging.send(large, {"a": np.arange(100, dtype=np.int32)})
    device.synchronize()
    assert old.tolist() == [1, 2]
    assert staging.bind(large)["a"].tolist() == list(range(100))


def test_too_long_an_array_is_a_fault(device):
    staging = Staging(device, 8)
    with pytest.raises(AssertionError, match="a: 3 words, room for 2"):
        staging.send(Layout({"a": 2}), {"a": words(1, 2, 3)})
