"""Clients' ids find exactly the requests that they stand for, while these are open."""

from __future__ import annotations

from sglite.server.open_calls import OpenCalls


def test_an_id_stands_for_all_requests_of_its_calls():
    calls = OpenCalls()
    calls.add([("job", "e1"), ("job", "e2"), ("other", "e3")])
    calls.add([("job", "e4")])  # another client's, under the same id
    assert calls.engine_ids("job") == ["e1", "e2", "e4"]
    assert calls.engine_ids("jo") == []


def test_a_call_that_ended_is_forgotten_and_its_namesake_is_not():
    calls = OpenCalls()
    calls.add([("job", "e1")])
    calls.add([("job", "e2")])
    calls.remove([("job", "e1")])
    calls.remove([("job", "e1"), ("never", "e9")])
    assert calls.engine_ids("job") == ["e2"]
    calls.remove([("job", "e2")])
    assert len(calls) == 0


def test_names_are_bounded():
    calls = OpenCalls(max_names=1)
    calls.add([("a", "e1"), ("b", "e2"), ("a", "e3")])
    assert len(calls) == 1
    assert calls.engine_ids("a") == ["e1", "e3"]
    assert calls.engine_ids("b") == []
    calls.remove([("b", "e2")])
