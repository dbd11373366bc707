"""An executor that computes nothing keeps to the contract of those that do."""

from __future__ import annotations

import inspect

import pytest

from sglite import assembly
from tests.scheduler.harness import SchedulerDriver
from tools.sse_load import instant_engine
from tools.sse_load.instant_engine import InstantExecutor


@pytest.mark.parametrize("max_in_flight", [1, 2])
def test_every_request_goes_on_with_the_last_token_of_its_prompt(max_in_flight):
    options = {"max_in_flight": max_in_flight, "chunked_prefill_size": 5, "num_pages": 12}
    driver = SchedulerDriver.make(**options)
    driver.engine.executor = InstantExecutor()
    for number in range(1, 7):  # more than 12 pages of 4 hold: some are retracted
        driver.add(f"r{number}", [9, 8, 7] * number + [number], max_new_tokens=9)
    driver.run()
    assert driver.outputs == {f"r{number}": [number] * 9 for number in range(1, 7)}
    driver.check_all_free()


def test_steps_of_a_given_length_are_waited_for(monkeypatch):
    now_s, slept_s = 100.0, []
    monkeypatch.setattr(instant_engine.time, "monotonic", lambda: now_s + sum(slept_s))
    monkeypatch.setattr(instant_engine.time, "sleep", slept_s.append)
    driver = SchedulerDriver.make()
    driver.engine.executor = InstantExecutor(step_s=0.25)
    driver.add("a", [5], max_new_tokens=6)
    driver.run()
    assert driver.outputs["a"] == [5] * 6
    assert slept_s == [0.25] * 5


def test_prompt_logprobs_have_an_empty_piece_for_each_span():
    driver = SchedulerDriver.make()
    driver.engine.executor = InstantExecutor()
    driver.add("a", [5, 6, 7], max_new_tokens=2, start_len=0)
    driver.run()
    assert driver.outputs["a"] == [7, 7]


def test_the_engine_is_built_with_it(monkeypatch):
    monkeypatch.setattr(assembly, "make_executor", assembly.make_executor)  # undone after the test
    monkeypatch.setattr(instant_engine.engine_process, "main", lambda: None)
    instant_engine.main()
    assert assembly.make_executor is InstantExecutor
    methods = {name for name, _ in inspect.getmembers(InstantExecutor, inspect.isfunction)}
    assert {"launch", "sample", "collect", "close"} <= methods
