"""The garbage collector rests while there is work, and is left as it was found."""

from __future__ import annotations

import gc

import pytest

from sglite.engine import collector
from sglite.engine.collector import QuietCollector


@pytest.fixture(autouse=True)
def collecting():
    gc.enable()
    yield
    gc.enable()


def test_it_is_off_between_the_first_step_and_the_rest():
    quiet = QuietCollector()
    quiet.rest()
    assert gc.isenabled()
    quiet.stepped()
    quiet.stepped()
    assert not gc.isenabled()
    quiet.rest()
    assert gc.isenabled()
    quiet.stepped()
    assert not gc.isenabled()


def test_who_had_it_off_keeps_it_off():
    gc.disable()
    quiet = QuietCollector()
    quiet.stepped()
    quiet.rest()
    assert not gc.isenabled()


def test_the_young_are_looked_through_now_and_then(monkeypatch):
    monkeypatch.setattr(collector, "STEPS_BETWEEN", 3)
    collected: list[int] = []
    monkeypatch.setattr(gc, "collect", lambda generation: collected.append(generation))
    quiet = QuietCollector()
    for _ in range(7):
        quiet.stepped()
    assert collected == [0, 0]
