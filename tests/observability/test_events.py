"""Events reach every subscriber, in order, and cost one test without any."""

from __future__ import annotations

import dataclasses

import pytest

from sglite.observability import events as ev


def test_stream_is_active_once_somebody_listens():
    stream = ev.EventStream()
    assert not stream.active
    stream.emit(ev.Flushed(1))
    stream.subscribe(lambda event: None)
    assert stream.active


def test_every_subscriber_gets_every_later_event_in_order():
    stream = ev.EventStream()
    early, late, both = [], [], []
    stream.subscribe(lambda event: (early.append(event), both.append("early")))
    stream.emit(ev.Flushed(1))
    stream.subscribe(lambda event: (late.append(event), both.append("late")))
    stream.emit(ev.Evicted(0, 2, "pages needed"))
    assert early == [ev.Flushed(1), ev.Evicted(0, 2, "pages needed")]
    assert late == early[1:]
    assert both == ["early", "early", "late"]


def test_streams_share_no_subscribers():
    ev.EventStream().subscribe(lambda event: None)
    assert not ev.EventStream().active


def test_events_are_values():
    event = ev.Inserted("r", 2, 1)
    assert event == ev.Inserted("r", 2, 1) != ev.Inserted("r", 2, 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.num_pages = 3


@pytest.mark.parametrize("kind", ev.Event.__subclasses__(), ids=lambda kind: kind.__name__)
def test_every_event_is_frozen_and_says_what_happened(kind):
    assert dataclasses.fields(kind) and kind.__doc__
    assert kind.__dataclass_params__.frozen
