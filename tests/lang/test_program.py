"""Programs run alone, as a stream and in batches; what fails is told to whoever reads it."""

from __future__ import annotations

import threading

import pytest

from sglite import lang
from sglite.errors import ConfigError, RequestError
from sglite.lang import program as module
from tests.lang.fake_backend import WAIT_S, FakeBackend


@lang.function
def greet(s, name, word="hello"):
    """Greets."""
    s += f"{word} {name} "
    s += lang.gen("x", max_tokens=5)
    return name


@lang.function
def broken(s, number=0):
    s += "a "
    s += lang.gen("x")
    if number % 2 == 0:
        raise ValueError(f"number {number}")


@pytest.fixture
def backend():
    return FakeBackend()


def test_arguments_and_settings_are_told_apart(backend):
    state = greet.run("ann", word="hi", temperature=0.0, max_tokens=9, backend=backend)
    assert state["x"] == "ANN" and state.return_value == "ann"
    assert backend.asked[0][0].text == "hi ann "
    assert backend.asked[0][1] == {"temperature": 0.0, "max_new_tokens": 5}
    assert greet.__name__ == "greet" and greet.__doc__ == "Greets."


def test_run_returns_before_the_answer_is_there(backend):
    backend.gate.clear()
    state = greet("ann", backend=backend)
    backend.gate.set()
    assert state.text() == "hello ann ANN"


def test_bound_arguments_can_be_given_before(backend):
    bound = greet.bind(name="eve")
    assert bound.run(backend=backend)["x"] == "EVE"
    assert bound.run(word="ho", backend=backend).text() == "ho eve EVE"


def test_a_default_backend_serves_programs_without_one(backend, monkeypatch):
    monkeypatch.setattr(module._Default, "backend", None)
    with pytest.raises(ConfigError, match="set_default_backend"):
        greet.run("ann")
    lang.set_default_backend(backend)
    assert greet.run("ann")["x"] == "ANN"


def test_the_programs_own_exception_is_raised_by_run(backend):
    with pytest.raises(ValueError, match="number 0"):
        broken.run(backend=backend)


def test_a_stream_hands_the_programs_exception_to_its_reader(backend):
    state = broken.run(backend=backend, stream=True)
    with pytest.raises(ValueError, match="number 0"):
        list(state.text_iter())
    with pytest.raises(ValueError, match="number 0"):
        state.text()


def test_a_stream_runs_beside_its_reader(backend):
    backend.gate.clear()
    state = greet.run("ann", stream=True, backend=backend)
    pieces = state.text_iter()
    assert next(pieces) == "hello ann "
    backend.gate.set()
    assert list(pieces) and state.text() == "hello ann ANN"
    assert "".join(state.text_iter("x")) == "ANN"


def test_a_batch_keeps_its_order_and_its_failures_apart(backend):
    states = broken.run_batch([{"number": number} for number in range(6)], backend=backend)
    assert [state.error() is None for state in states] == [False, True] * 3
    assert [state["x"] for state in states[1::2]] == ["A"] * 3
    with pytest.raises(ValueError, match="number 4"):
        states[4].text()


def test_a_batch_runs_side_by_side_but_no_more_than_asked():
    running, most, lock = 0, 0, threading.Lock()
    meet = threading.Barrier(3)

    def answer(prompt, sampling):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        meet.wait(WAIT_S)
        with lock:
            running -= 1
        return "x"

    states = greet.run_batch(
        [["a"], ("b", "hi"), ["c"]] * 2, num_threads=3, backend=FakeBackend(answer)
    )
    assert most == 3
    assert [state.text() for state in states][:3] == ["hello a x", "hi b x", "hello c x"]


def test_an_empty_batch_is_empty_and_settings_reach_all(backend):
    assert greet.run_batch([], backend=backend) == []
    greet.run_batch([{"name": "a"}], backend=backend, temperature=0.5)
    assert backend.asked[0][1]["temperature"] == 0.5
    with pytest.raises(RequestError, match="unknown setting 'word'"):
        greet.run_batch([{"name": "a"}], backend=backend, word="hi")


def test_wrong_arguments_fail_like_any_call(backend):
    with pytest.raises(TypeError, match="name"):
        greet.run(backend=backend)
    (state,) = greet.run_batch([{"title": "a"}], backend=backend)
    with pytest.raises(TypeError, match="title"):
        state.text()


def test_a_function_that_could_not_be_run_is_refused_where_it_is_made():
    with pytest.raises(TypeError, match="first argument"):
        lang.function(lambda: None)
    with pytest.raises(TypeError, match="'stop'"):

        @lang.function
        def program(s, stop):
            pass
