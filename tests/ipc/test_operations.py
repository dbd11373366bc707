from __future__ import annotations

from typing import Any

import pytest

from sglite.errors import RequestError
from sglite.ipc.operations import OPERATIONS, PENDING, EngineSide, bind
from sglite.ipc.profiling import StepProfiler
from sglite.observability.events import EventStream
from sglite.request import FinishReason
from tests.scheduler.harness import SchedulerDriver, prompts_with_output

PROMPTS = prompts_with_output(12, ends=False, count=3)


@pytest.fixture
def driver() -> SchedulerDriver:
    driver = SchedulerDriver.make()
    for number, prompt in enumerate(PROMPTS):
        driver.add(f"r{number}", prompt, 12)
    driver.engine.step()
    return driver


def perform(driver: SchedulerDriver, name: str, waited_s: float = 0.0, **arguments: Any) -> Any:
    side = EngineSide(driver.engine, StepProfiler(EventStream()), waited_s)
    return bind(name, arguments)(side)


@pytest.mark.parametrize("name", ["", "eval", "__class__", "close", "x" * 1000])
def test_what_is_not_in_the_table_does_not_exist(name: str) -> None:
    with pytest.raises(RequestError, match="not an operation"):
        bind(name, {})


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("stats", {"more": True}),
        ("flush_cache", {"timeout_s": "1"}),
        ("flush_cache", {"timeout_s": None}),
        ("pause", {"mode": "slowly"}),
        ("unpin_prefix", {}),
        ("unpin_prefix", {"token_ids": ["a"]}),
        ("start_profile", {"path": 3}),
    ],
)
def test_arguments_are_typed_and_none_is_ignored(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=name):
        bind(name, arguments)


def test_every_operation_says_what_it_does() -> None:
    assert all(operation.function.__doc__ for operation in OPERATIONS.values())
    assert all(name == operation.function.__name__ for name, operation in OPERATIONS.items())


def test_flushing_waits_for_idleness_as_long_as_it_may(driver: SchedulerDriver) -> None:
    assert perform(driver, "flush_cache") is False
    assert perform(driver, "flush_cache", timeout_s=1.0) is PENDING
    assert perform(driver, "flush_cache", waited_s=1.0, timeout_s=1.0) is False
    driver.run()
    assert perform(driver, "flush_cache", timeout_s=1.0) is True
    assert driver.engine.stats()["cache_num_cached_tokens"] == 0


def test_stats_and_loads_count(driver: SchedulerDriver) -> None:
    stats, loads = perform(driver, "stats"), perform(driver, "loads")
    assert stats["num_running_requests"] == loads["num_running_requests"] == 3
    assert stats["num_waiting_tokens"] == loads["num_waiting_tokens"] == 0
    assert stats["is_paused"] == 0 and 0 < loads["num_used_tokens"] < loads["num_total_tokens"]
    driver.run()
    assert perform(driver, "loads")["num_used_tokens"] == 0


@pytest.mark.parametrize("mode", ["abort", "retract", "in_place"])
def test_a_pause_stops_the_steps_until_it_is_undone(driver: SchedulerDriver, mode: str) -> None:
    perform(driver, "pause", mode=mode)
    before = len(driver.executor.plans)
    outputs = driver.engine.step()
    driver.engine.step()
    assert len(driver.executor.plans) == before and perform(driver, "stats")["is_paused"] == 1
    scheduler = driver.scheduler
    if mode == "abort":
        assert [end.reason for end in outputs.finished] == [FinishReason.ABORT] * 3
        assert not scheduler.live
    running = {"abort": 0, "retract": 0, "in_place": 3}[mode]
    waiting = {"abort": 0, "retract": 3, "in_place": 0}[mode]
    assert (len(scheduler.batch.running), len(scheduler.queue)) == (running, waiting)
    perform(driver, "resume")
    perform(driver, "resume")
    ends = []
    while driver.engine.has_work:
        ends += driver.engine.step().finished
    assert {end.reason for end in ends} == (set() if mode == "abort" else {FinishReason.LENGTH})


def test_a_pinned_prefix_is_unpinned_by_its_ids(driver: SchedulerDriver) -> None:
    driver.run()
    prompt = [*range(1, 10)]
    driver.add("pinned", prompt, 1, pin_prefix=True)
    driver.run()
    assert driver.engine.stats()["cache_num_pinned_prefixes"] == 1
    assert perform(driver, "unpin_prefix", token_ids=prompt, namespace="other") is False
    assert perform(driver, "unpin_prefix", token_ids=prompt) is True
    assert perform(driver, "unpin_prefix", token_ids=prompt) is False
