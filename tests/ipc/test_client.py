from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sglite.errors import CapacityError, EngineDeadError, RankLostError
from sglite.ipc.client import InProcessClient
from sglite.request import (
    FinishReason,
    OutputBatch,
    Request,
    RequestFinish,
    SamplingParams,
)
from sglite.scheduler.plan import StepPlan
from tests.fakes import EOS, expected_output
from tests.scheduler.harness import SchedulerDriver, prompts_with_output

WAIT_S = 20.0
PROMPTS = prompts_with_output(10, ends=False, count=12)


@pytest.fixture
def driver() -> SchedulerDriver:
    return SchedulerDriver.make(page_size=16, num_pages=70_000)


@pytest.fixture
def client(driver: SchedulerDriver) -> Iterator[InProcessClient]:
    client = InProcessClient(driver.engine)
    yield client
    client.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "engine"]


class Caller:
    """Notes what it is told, and lets a test wait for it."""

    def __init__(self) -> None:
        self.tokens: dict[str, list[int]] = {}
        self.finishes: list[RequestFinish] = []
        self.refusals: list[tuple[str | None, Exception]] = []
        self._told = threading.Condition()

    def deliver(self, outputs: OutputBatch) -> None:
        with self._told:
            for request_id, token in outputs.tokens:
                self.tokens.setdefault(request_id, []).append(token)
            self.finishes += outputs.finished
            self._told.notify_all()

    def refuse(self, request_id: str | None, error: Exception) -> None:
        with self._told:
            self.refusals.append((request_id, error))
            self._told.notify_all()

    def wait_until(self, condition: Callable[[], Any]) -> None:
        with self._told:
            assert self._told.wait_for(condition, WAIT_S), "it was never told"

    def wait_for_ends(self, count: int) -> None:
        self.wait_until(lambda: len(self.finishes) + len(self.refusals) >= count)

    def submit(self, client: InProcessClient, *requests: Request) -> None:
        client.submit(list(requests), self.deliver, self.refuse)


def request(request_id: str, prompt: list[int], max_new_tokens: int = 10) -> Request:
    return Request(
        request_id=request_id,
        prompt_token_ids=prompt,
        eos_token_ids=frozenset({EOS}),
        max_new_tokens=max_new_tokens,
    )


def endless(request_id: str, prompt: list[int] = PROMPTS[0]) -> Request:
    """Ends only if somebody ends it."""
    return Request(
        request_id=request_id,
        prompt_token_ids=prompt,
        sampling=SamplingParams(ignore_eos=True),
        max_new_tokens=1_000_000,
    )


# -- submit ----------------------------------------------------------------------------------------


def test_a_request_is_answered(client: InProcessClient) -> None:
    caller = Caller()
    caller.submit(client, request("r", PROMPTS[0]))
    caller.wait_for_ends(1)
    assert caller.tokens == {"r": expected_output(PROMPTS[0], 10)}
    assert caller.finishes[0].reason is FinishReason.LENGTH


def test_threads_get_the_answers_to_their_own_requests(client: InProcessClient) -> None:
    callers = [Caller() for _ in range(6)]
    start = threading.Barrier(len(callers))

    def ask(number: int) -> None:
        start.wait(WAIT_S)
        for i in range(8):
            callers[number].submit(client, request(f"r{number}-{i}", PROMPTS[(number + i) % 12]))
            client.call(lambda engine: engine.stats())
            client.abort([f"nobody-{i}"])

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(callers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    for number, caller in enumerate(callers):
        caller.wait_for_ends(8)
        expected = {
            f"r{number}-{i}": expected_output(PROMPTS[(number + i) % 12], 10) for i in range(8)
        }
        assert caller.tokens == expected
        assert sorted(finish.request_id for finish in caller.finishes) == sorted(expected)
        assert not caller.refusals
    assert client._callers == {}


def test_refusals_name_the_request_and_the_others_run() -> None:
    driver = SchedulerDriver.make(max_running_requests=1, max_queued_requests=1)
    client, caller = InProcessClient(driver.engine), Caller()
    names = ["a", "b", "c"]
    caller.submit(client, *(request(name, PROMPTS[i]) for i, name in enumerate(names)))
    caller.wait_for_ends(3)
    assert [finish.request_id for finish in caller.finishes] == ["a"]
    assert [request_id for request_id, _ in caller.refusals] == ["b", "c"]
    for _, error in caller.refusals:
        assert isinstance(error, CapacityError) and error.retry_after_s
    client.close()


def test_the_load_counts_all_tokens_that_requests_may_have() -> None:
    driver = SchedulerDriver.make(max_running_requests=1, max_queued_requests=1)
    client, caller = InProcessClient(driver.engine), Caller()
    client.call(lambda engine: setattr(engine.scheduler, "is_paused", True))
    prompts = PROMPTS[:3]
    caller.submit(client, *(request(str(i), prompt) for i, prompt in enumerate(prompts)))
    caller.wait_for_ends(2)  # one is taken, the others are refused
    assert client.call(lambda engine: client.load.num_tokens) == len(prompts[0]) + 10
    client.call(lambda engine: setattr(engine.scheduler, "is_paused", False))
    caller.wait_for_ends(3)
    assert client.call(lambda engine: client.load.num_tokens) == 0
    client.close()


# -- abort and call --------------------------------------------------------------------------------


def test_an_abort_from_another_thread_ends_the_request_alone(client: InProcessClient) -> None:
    caller = Caller()
    caller.submit(client, endless("r"), endless("other", PROMPTS[1]))
    caller.wait_until(lambda: len(caller.tokens.get("r", [])) > 3)
    client.abort(["unknown", "r", "r"])
    caller.wait_for_ends(1)
    (finish,) = caller.finishes
    assert (finish.request_id, finish.reason) == ("r", FinishReason.ABORT)
    assert finish.num_output_tokens == len(caller.tokens["r"])
    assert client.call(lambda engine: engine.stats()["num_running_requests"]) == 1
    client.abort(["other"])
    caller.wait_for_ends(2)
    stats = client.call(lambda engine: engine.stats())
    assert stats["cache_num_free_tokens"] + stats["cache_num_cached_tokens"] == 70_000 * 16


def test_a_call_runs_in_the_engines_thread_and_returns_its_result(client: InProcessClient) -> None:
    names = client.call(lambda engine: [threading.current_thread().name, engine.has_work])
    assert names == ["engine", False]


@pytest.mark.parametrize("error", [ValueError("mine"), TimeoutError("also mine")])
def test_a_call_raises_what_its_function_raises(client: InProcessClient, error: Exception) -> None:
    def fail(engine: object) -> None:
        raise error

    with pytest.raises(type(error), match="mine"):
        client.call(fail)
    assert client.call(lambda engine: 1) == 1


# -- close -----------------------------------------------------------------------------------------


def test_close_ends_what_runs_and_what_waits() -> None:
    driver = SchedulerDriver.make(num_pages=70_000, max_running_requests=2, max_in_flight=2)
    client, caller = InProcessClient(driver.engine), Caller()
    caller.submit(client, *(endless(f"r{number}") for number in range(5)))
    caller.wait_until(lambda: caller.tokens)
    client.close()
    assert {finish.reason for finish in caller.finishes} == {FinishReason.ABORT}
    assert sorted(finish.request_id for finish in caller.finishes) == [f"r{i}" for i in range(5)]
    assert driver.executor.is_closed and not driver.engine.has_work
    assert driver.engine.try_flush_cache()
    assert driver.engine.stats()["cache_num_free_tokens"] == 70_000 * 4


def test_after_close_calls_say_that_the_engine_is_closed(driver: SchedulerDriver) -> None:
    client = InProcessClient(driver.engine)
    client.close()
    client.close()
    with pytest.raises(EngineDeadError, match="because it was closed"):
        Caller().submit(client, request("r", PROMPTS[0]))
    with pytest.raises(EngineDeadError, match="because it was closed"):
        client.call(lambda engine: engine.stats())
    client.abort(["r"])


def test_close_from_many_threads_while_others_submit_loses_no_answer(
    driver: SchedulerDriver,
) -> None:
    client = InProcessClient(driver.engine)
    callers = [Caller() for _ in range(4)]
    accepted = [0] * 4
    start = threading.Barrier(6)

    def ask(number: int) -> None:
        start.wait(WAIT_S)
        try:
            for i in range(50):
                callers[number].submit(client, endless(f"r{number}-{i}"))
                accepted[number] += 1
        except EngineDeadError:
            pass

    def close() -> None:
        start.wait(WAIT_S)
        client.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    threads += [threading.Thread(target=close) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    for caller, count in zip(callers, accepted, strict=True):
        assert len(caller.finishes) + len(caller.refusals) == count
        assert all(isinstance(error, EngineDeadError) for _, error in caller.refusals)


# -- faults ----------------------------------------------------------------------------------------


class Fault:
    """An executor that breaks on demand."""

    def __init__(self, driver: SchedulerDriver, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_broken = threading.Event()
        collect = driver.executor.collect

        def breaking_collect(handle: Any) -> Any:
            if self.is_broken.is_set():
                raise RuntimeError("the device is gone")
            return collect(handle)

        monkeypatch.setattr(driver.executor, "collect", breaking_collect)


def test_after_a_fault_every_caller_hears_once_and_later_calls_raise(
    driver: SchedulerDriver, client: InProcessClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, callers = Fault(driver, monkeypatch), [Caller() for _ in range(3)]
    for number, caller in enumerate(callers):
        caller.submit(client, endless(f"a{number}"), endless(f"b{number}"))
    callers[0].wait_until(lambda: callers[0].tokens)
    fault.is_broken.set()
    for caller in callers:
        caller.wait_for_ends(1)
    with pytest.raises(EngineDeadError, match="the device is gone") as dead:
        callers[0].submit(client, request("late", PROMPTS[0]))
    assert isinstance(dead.value.__cause__, RuntimeError)
    with pytest.raises(EngineDeadError):
        client.call(lambda engine: engine.stats())
    client.abort(["a0"])
    client.close()
    for caller in callers:
        assert not caller.finishes
        ((request_id, error),) = caller.refusals
        assert request_id is None
        assert isinstance(error, EngineDeadError) and "the device is gone" in str(error)
    assert driver.executor.is_closed


def test_a_fault_that_is_reported_while_a_step_meets_it_reaches_the_callers(
    driver: SchedulerDriver, client: InProcessClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_a_rank(*_: object) -> None:
        client.fail(RankLostError("rank 1 is gone"))
        raise RankLostError("rank 1 is gone")

    monkeypatch.setattr(driver.executor, "collect", lose_a_rank)
    caller = Caller()
    caller.submit(client, endless("r"))
    caller.wait_for_ends(1)
    client.close()
    assert "rank 1 is gone" in str(caller.refusals[0][1])
    assert driver.executor.is_closed


def test_a_call_under_way_when_the_engine_fails_is_not_left_alone(
    driver: SchedulerDriver, client: InProcessClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, caller = Fault(driver, monkeypatch), Caller()
    caller.submit(client, endless("r"))
    caller.wait_until(lambda: caller.tokens)

    def queue_more(engine: object) -> str:
        """Runs in the engine's thread; what is posted now comes after the fault."""
        fault.is_broken.set()
        late = threading.Thread(target=ask_late)
        late.start()
        threads.append(late)
        return "done"

    def ask_late() -> None:
        try:
            client.call(lambda engine: engine.stats())
            answers.append("answered before the fault")
        except EngineDeadError as error:
            answers.append(str(error))

    threads: list[threading.Thread] = []
    answers: list[str] = []
    assert client.call(queue_more) == "done"
    threads[0].join(WAIT_S)
    assert len(answers) == 1
    caller.wait_for_ends(1)


def test_a_fault_is_logged_as_critical(
    driver: SchedulerDriver,
    client: InProcessClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    Fault(driver, monkeypatch).is_broken.set()
    caller = Caller()
    caller.submit(client, request("r", PROMPTS[0]))
    caller.wait_for_ends(1)
    client.close()
    assert [(r.levelname, r.message) for r in caplog.records] == [("CRITICAL", "engine_failed")]


def test_a_call_that_nobody_wants_any_more_is_left_out(client: InProcessClient) -> None:
    is_held, called = threading.Event(), []
    client.begin_call(lambda engine: is_held.wait(WAIT_S))
    unwanted = client.begin_call(called.append)
    assert unwanted.cancel()
    is_held.set()
    assert client.call(lambda engine: 5) == 5
    assert called == []


@pytest.mark.parametrize("is_noticed", [False, True], ids=["told", "told and noticed"])
def test_a_fault_from_elsewhere_ends_every_request(
    driver: SchedulerDriver, monkeypatch: pytest.MonkeyPatch, *, is_noticed: bool
) -> None:
    """Also where the engine's own step fails of it at the same moment."""
    fault = RankLostError("rank 1 has ended")
    client = InProcessClient(driver.engine)
    executor, launch = driver.engine.executor, driver.engine.executor.launch

    def launch_and_fail(plan: StepPlan) -> Any:
        client.fail(fault)
        if is_noticed:
            raise fault
        return launch(plan)

    monkeypatch.setattr(executor, "launch", launch_and_fail)
    caller = Caller()
    caller.submit(client, endless("r"))
    caller.wait_for_ends(1)
    assert [str(error) for _, error in caller.refusals] == [
        "the engine has stopped: rank 1 has ended"
    ]
    assert client.wait_until_stopped() is fault
