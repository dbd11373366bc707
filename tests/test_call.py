from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from sglite.call import Call
from sglite.engine.engine import Engine
from sglite.errors import CapacityError, EngineDeadError, RequestError
from sglite.generation import OpenGeneration
from sglite.ipc.client import Deliver, InProcessClient, Refuse
from sglite.request import (
    FinishReason,
    OutputBatch,
    Request,
    SamplingParams,
)
from tests.fakes import EOS, expected_output, finish_of
from tests.scheduler.harness import SchedulerDriver, prompts_with_output

WAIT_S = 20.0
PROMPTS = prompts_with_output(6, ends=False, count=10)


def opened(count: int, *, max_new_tokens: int = 6, prefix: str = "r") -> list[OpenGeneration]:
    generations = []
    for number in range(count):
        request = Request(
            request_id=f"{prefix}{number}",
            prompt_token_ids=PROMPTS[number % 10],
            eos_token_ids=frozenset({EOS}),
            sampling=SamplingParams(ignore_eos=max_new_tokens > 6),
            max_new_tokens=max_new_tokens,
        )
        generations.append(OpenGeneration(request, number, None))
    return generations


class ScriptedClient:
    """Holds up to ``room`` requests and refuses the others; ``answer`` ends the oldest."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.open: list[str] = []
        self.most_open = 0
        self.num_refused = 0
        self.submitted: list[str] = []
        self.aborted: list[str] = []
        self.before_submit: Callable[[], None] = lambda: None

    def submit(self, requests: list[Request], deliver: Deliver, refuse: Refuse) -> None:
        self.before_submit()
        for request in requests:
            self.deliver, self.refuse = deliver, refuse
            if len(self.open) >= self.room:
                self.num_refused += 1
                refuse(request.request_id, CapacityError("full", retry_after_s=1.0))
            else:
                self.open.append(request.request_id)
                self.submitted.append(request.request_id)
        self.most_open = max(self.most_open, len(self.open))
        self.answer_if_idle()

    def answer_if_idle(self) -> None:
        """Something must come, or the caller waits for ever."""
        if self.open:
            self.answer()

    def answer(self) -> None:
        request_id = self.open.pop(0)
        self.deliver(OutputBatch(tokens=[(request_id, 7)], finished=[finish_of(request_id)]))

    def abort(self, request_ids: list[str]) -> None:
        self.aborted += request_ids

    def call(self, function: Callable[[Engine], object]) -> object:
        raise AssertionError("a call does not need it")

    def close(self) -> None:
        raise AssertionError("a client is not a call's to close")


# -- flow ------------------------------------------------------------------------------------------


def test_chunks_of_all_requests_come_and_every_answer_once() -> None:
    client = ScriptedClient()
    chunks = list(Call(client, opened(1), max_open=5))
    assert [chunk.finished.index for chunk in chunks if chunk.finished] == [0]
    assert client.aborted == []


@pytest.mark.parametrize("max_open", [0, 1, 2, 7, 50])
def test_no_more_are_open_than_allowed(max_open: int) -> None:
    client = EventualClient()
    done = [chunk.finished for chunk in Call(client, opened(10), max_open=max_open)]
    assert sorted(generation.index for generation in done if generation) == list(range(10))
    assert client.most_open == min(max(1, max_open), 10)
    assert client.num_refused == 0


class EventualClient(ScriptedClient):
    """Answers in a thread of its own, as the engine does."""

    def __init__(self, room: int = 1000) -> None:
        super().__init__(room)
        self._lock = threading.Lock()

    def submit(self, requests: list[Request], deliver: Deliver, refuse: Refuse) -> None:
        with self._lock:
            super().submit(requests, deliver, refuse)

    def answer_if_idle(self) -> None:
        threading.Timer(0.001, self._answer_one).start()

    def _answer_one(self) -> None:
        with self._lock:
            if self.open:
                self.answer()
            if self.open:
                self.answer_if_idle()


def test_refused_requests_are_tried_again_and_none_is_lost() -> None:
    client = EventualClient(room=2)
    done = [chunk.finished for chunk in Call(client, opened(10), max_open=6)]
    assert sorted(generation.index for generation in done if generation) == list(range(10))
    assert client.num_refused > 0
    assert sorted(client.submitted) == sorted(f"r{number}" for number in range(10))


def test_after_a_refusal_the_call_opens_up_again() -> None:
    client = ScriptedClient(room=1)

    def answer_one_or_the_rest() -> None:
        client.answer()
        while len(client.submitted) == 30 and client.open:
            client.answer()

    client.answer_if_idle = answer_one_or_the_rest  # type: ignore[method-assign]
    call = Call(client, opened(30), max_open=8)
    done = 0
    for chunk in call:
        done += chunk.finished is not None
        if done == 3:
            client.room = 1000  # the other callers have gone
            client.most_open = 0
    assert client.most_open == 8
    assert done == 30


def test_with_nothing_open_a_refused_request_is_still_tried() -> None:
    client = EventualClient(room=0)
    refused = threading.Event()

    def make_room() -> None:
        if client.num_refused == 2:
            client.room = 1
            refused.set()

    client.before_submit = make_room
    assert len(list(Call(client, opened(1), max_open=4))) == 1
    assert refused.is_set()


def test_any_other_refusal_is_raised_and_ends_the_rest() -> None:
    client = ScriptedClient()
    client.answer_if_idle = lambda: client.refuse("r1", RequestError("bad"))  # type: ignore
    with pytest.raises(RequestError, match="bad"):
        list(Call(client, opened(3), max_open=3))
    assert {"r0", "r2"} <= set(client.aborted)


def test_a_dead_engine_is_raised_and_hides_no_request() -> None:
    client = ScriptedClient()
    client.answer_if_idle = lambda: client.refuse(None, EngineDeadError("gone"))  # type: ignore
    with pytest.raises(EngineDeadError, match="gone"):
        list(Call(client, opened(3), max_open=2))


def test_nothing_to_do_is_done_at_once() -> None:
    client = ScriptedClient()
    assert list(Call(client, [], max_open=2)) == []
    assert client.submitted == []


# -- abort -----------------------------------------------------------------------------------------


def test_leaving_early_aborts_what_is_open_and_starts_nothing_more() -> None:
    client = ScriptedClient()
    with closing(iter(Call(client, opened(6), max_open=3))) as chunks:
        next(chunks)
    assert set(client.aborted) == {"r1", "r2"}
    assert client.submitted == ["r0", "r1", "r2"]


def test_a_call_that_was_never_begun_submits_nothing() -> None:
    client = ScriptedClient()
    iter(Call(client, opened(2), max_open=2)).close()
    assert client.submitted == client.aborted == []


def test_an_abort_that_comes_before_the_submission_is_not_lost() -> None:
    client = ScriptedClient()
    call = Call(client, opened(2), max_open=2)
    order: list[str] = []

    def note_abort(request_ids: list[str]) -> None:
        order.append("abort")
        client.aborted += request_ids

    def abort_first() -> None:
        call.abort()  # from another thread, just before the engine knows of the requests
        order.append("submit")

    client.abort = note_abort  # type: ignore[method-assign]
    client.before_submit = abort_first
    with closing(iter(call)) as chunks:
        next(chunks)
        assert order == ["abort", "submit", "abort"]


# -- with an engine --------------------------------------------------------------------------------


@pytest.fixture
def driver() -> SchedulerDriver:
    return SchedulerDriver.make(num_pages=40_000, max_running_requests=4, max_queued_requests=2)


@pytest.fixture
def client(driver: SchedulerDriver) -> Iterator[InProcessClient]:
    client = InProcessClient(driver.engine)
    yield client
    client.close()


def test_more_prompts_than_the_engine_queues_are_all_answered(client: InProcessClient) -> None:
    done = {}
    for chunk in Call(client, opened(40), max_open=1000):
        if chunk.finished is not None:
            done[chunk.index] = chunk.finished.token_ids
    assert done == {number: expected_output(PROMPTS[number % 10], 6) for number in range(40)}


def test_what_the_engine_finds_invalid_ends_the_call_and_frees_the_others(
    client: InProcessClient, driver: SchedulerDriver
) -> None:
    asked = opened(3, max_new_tokens=100_000)
    sampling = SamplingParams(regex="a")
    asked[1] = dataclasses.replace(
        asked[1], request=dataclasses.replace(asked[1].request, sampling=sampling)
    )
    with pytest.raises(RequestError, match="no grammars"):
        list(Call(client, asked, max_open=3))
    assert client.call(lambda engine: (engine.step(), engine.scheduler.live)[1]) == {}


def test_calls_of_two_threads_do_not_mix(client: InProcessClient) -> None:
    answers: dict[str, dict[int, list[int]]] = {"a": {}, "b": {}}

    def ask(prefix: str) -> None:
        for chunk in Call(client, opened(20, prefix=prefix), max_open=6):
            assert chunk.request_id.startswith(prefix)
            if chunk.finished is not None:
                answers[prefix][chunk.index] = chunk.finished.token_ids

    threads = [threading.Thread(target=ask, args=(prefix,)) for prefix in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    expected = {number: expected_output(PROMPTS[number % 10], 6) for number in range(20)}
    assert answers == {"a": expected, "b": expected}


def test_leaving_early_frees_the_kv(client: InProcessClient, driver: SchedulerDriver) -> None:
    with closing(iter(Call(client, opened(5, max_new_tokens=100_000), max_open=3))) as chunks:
        for _, chunk in zip(range(10), chunks, strict=False):
            assert chunk.finished is None
    stats = client.call(lambda engine: (engine.step(), engine.stats())[1])
    assert stats["num_running_requests"] == stats["num_waiting_requests"] == 0
    assert stats["cache_num_free_tokens"] + stats["cache_num_cached_tokens"] == 160_000


def test_closing_the_client_ends_a_call_under_way(driver: SchedulerDriver) -> None:
    client = InProcessClient(driver.engine)
    reasons = []
    for number, chunk in enumerate(Call(client, opened(3, max_new_tokens=100_000), max_open=3)):
        if number == 5:
            client.close()
        if chunk.finished is not None:
            reasons.append(chunk.finished.finish_reason)
    assert reasons == [FinishReason.ABORT] * 3
