"""Grammars that behave, and those that hang, crash, eat memory or come too many at once."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sglite.embedded import EMBEDDED_MODEL_DIR
from sglite.errors import CapacityError, RequestError
from sglite.grammar.vocabulary import read_vocabulary
from sglite.ipc.grammar_messages import GrammarSetup
from sglite.ipc.grammar_service import (
    LATE_S,
    MAX_CACHE_BYTES,
    GrammarService,
    Outcome,
    PreparedGrammar,
)
from sglite.ipc.grammar_tools import GrammarTools
from sglite.request import GrammarSpec
from sglite.tokenizer import load_tokenizer
from tests.ipc.fake_grammars import make_service, spec
from tests.ipc.harness import WAIT_S, wait_until


@pytest.fixture(scope="module")
def shared() -> Iterator[GrammarService]:
    """For tests that leave it as it was, but for what it knows."""
    service = make_service(limit_s=WAIT_S, patience_s=WAIT_S)
    yield service
    service.close()


class Asker:
    """Asks, and notes the outcomes in the order in which they come, with their threads."""

    def __init__(self, service: GrammarService) -> None:
        self.service = service
        self.told: list[tuple[str, Outcome]] = []
        self.threads: list[threading.Thread] = []

    def ask(self, *texts: str) -> None:
        for text in texts:
            self.service.prepare(spec(text), lambda outcome, text=text: self._take(text, outcome))

    def wait_for(self, count: int) -> list[Outcome]:
        wait_until(lambda: len(self.told) >= count)
        assert len(self.told) == count
        return [outcome for _, outcome in self.told]

    def outcome(self, text: str) -> Outcome:
        """The one outcome of one grammar."""
        self.ask(text)
        return self.wait_for(len(self.told) + 1)[-1]

    def _take(self, text: str, outcome: Outcome) -> None:
        self.threads.append(threading.current_thread())
        self.told.append((text, outcome))


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


# -- grammars that behave --------------------------------------------------------------------------


def test_a_grammar_is_prepared_elsewhere_and_then_known(shared: GrammarService) -> None:
    asker = Asker(shared)
    first = asker.outcome("ignore abc")
    assert isinstance(first, PreparedGrammar)
    assert first.shortest_end == tuple(b"ignore abc")
    assert first.compiled.ignored_keywords == ("format",)
    asker.ask("ignore abc")
    assert asker.told[-1][1] is first, "it was not known at once"
    elsewhere, here = asker.threads
    assert here is threading.current_thread() is not elsewhere


def test_what_is_asked_twice_at_once_is_made_once(shared: GrammarService) -> None:
    one, two = Asker(shared), Asker(shared)
    one.ask("nap 1", "nap 1")
    two.ask("nap 1")
    outcomes = {id(outcome) for outcome in one.wait_for(2) + two.wait_for(1)}
    assert len(outcomes) == 1
    assert shared._tools.backend().compiled.count("nap 1") == 1


def test_a_grammar_in_work_lets_others_pass(shared: GrammarService) -> None:
    asker = Asker(shared)
    asker.ask("nap 2", "nap 3")
    asker.wait_for(2)  # both processes are there
    asker.ask("nap 4", "quick")
    asker.wait_for(4)
    assert [text for text, _ in asker.told[2:]] == ["quick", "nap 4"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bad", "regex is bad"),
        ("endless", "no text was found that fits regex"),
        ("complex", "regex is too complex"),
        ("slow", "regex is too complex"),
        ("crash", "crashes the library"),
        ("fault", "by a fault of ours"),
        ("eat", "regex is too large"),
    ],
)
def test_a_refusal_says_why_and_is_known(shared: GrammarService, text: str, reason: str) -> None:
    asker = Asker(shared)
    error = asker.outcome(text)
    assert isinstance(error, RequestError) and error.param == "regex"
    assert reason in str(error)
    asker.ask(text)
    assert str(asker.told[-1][1]) == str(error)
    assert asker.told[-1][1] is not error, "an exception is raised by one alone"
    assert isinstance(asker.outcome(f"good after {text}"), PreparedGrammar)


def test_a_grammar_that_takes_too_long_is_refused_and_its_process_replaced() -> None:
    asker = Asker(service := make_service(limit_s=0.3, patience_s=WAIT_S))
    asker.outcome("good 1")
    (before,) = service.helper_pids
    error = asker.outcome("hang")
    assert isinstance(error, RequestError) and "longer than 0.3 s" in str(error)
    assert not is_running(before)
    assert isinstance(asker.outcome("good 2"), PreparedGrammar)
    service.close()


# -- processes that end ----------------------------------------------------------------------------


def test_a_process_that_somebody_kills_is_replaced_and_nothing_lost(shared: GrammarService) -> None:
    asker = Asker(shared)
    asker.outcome("good")
    before = shared.helper_pids
    asker.ask("nap 5")
    wait_until(lambda: any(job.is_begun for job in list(shared._jobs.values())))
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    assert isinstance(asker.wait_for(2)[-1], PreparedGrammar)
    assert set(shared.helper_pids) - set(before)


def test_one_that_is_always_killed_may_be_tried_again(shared: GrammarService) -> None:
    asker = Asker(shared)
    error = asker.outcome("kill")
    assert isinstance(error, CapacityError)
    assert shared._cache.get(spec("kill")) is None


def test_where_no_process_starts_nobody_waits_for_it() -> None:
    asker = Asker(service := make_service())
    service._module = "tests.ipc.no_such_module"
    error = asker.outcome("good")
    assert isinstance(error, CapacityError) and error.retry_after_s
    service.close()


def test_a_fault_of_ours_is_told_each_time_it_comes() -> None:
    def fail() -> GrammarSetup:
        raise ValueError("no such vocabulary")

    asker = Asker(service := GrammarService(GrammarTools(fail), patience_s=WAIT_S))
    for text in ("one", "two", "three"):
        error = asker.outcome(text)
        assert isinstance(error, RequestError) and "a fault of ours" in str(error)
    assert all(thread.is_alive() for thread in service._threads)
    service.close()


def test_closing_leaves_nothing_whatever_is_going_on() -> None:
    asker = Asker(service := make_service(limit_s=WAIT_S))
    asker.outcome("good")
    asker.ask("hang 1", "hang 2", "hang 3")
    wait_until(lambda: len(service.helper_pids) == 2)
    pids = service.helper_pids
    service.close()
    service.close()
    assert not any(is_running(pid) for pid in pids)
    assert not any(thread.is_alive() for thread in service._threads)
    asker.ask("later")
    assert len(asker.told) == 1, "nobody is told after the end"


# -- too many --------------------------------------------------------------------------------------


def test_nobody_waits_longer_than_his_patience() -> None:
    asker = Asker(service := make_service(limit_s=WAIT_S, patience_s=0.3))
    asker.ask("hang 1", "hang 2", "good")
    errors = asker.wait_for(3)
    assert all(isinstance(error, CapacityError) and error.retry_after_s for error in errors)
    assert [job.spec.text for job in service._queue] == []
    service.close()


def test_a_queue_that_moves_is_worth_the_wait() -> None:
    asker = Asker(service := make_service(limit_s=WAIT_S, patience_s=0.2))
    assert isinstance(asker.outcome("good 0"), PreparedGrammar)  # its process is there
    texts = [f"nap {number}" for number in range(5)]
    asker.ask(*texts)
    outcomes = asker.wait_for(1 + len(texts))
    assert all(isinstance(outcome, PreparedGrammar) for outcome in outcomes)
    service.close()


def test_the_queue_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sglite.ipc.grammar_service.MAX_QUEUED", 2)
    asker = Asker(service := make_service(limit_s=WAIT_S))
    asker.ask("hang 1", "hang 2")
    wait_until(lambda: not service._queue)
    asker.ask("a", "b", "c")
    ((text, error),) = asker.told
    assert text == "c" and isinstance(error, CapacityError)
    service.close()


def test_memory_stays_within_its_bound() -> None:
    asker = Asker(service := make_service(max_cache_bytes=100_000, patience_s=WAIT_S))
    for start in range(0, 400, 100):
        asker.ask(*(f"[2000]good {number}" for number in range(start, start + 100)))
        asker.wait_for(start + 100)
        assert 90_000 < service.num_cached_bytes <= 100_000
    assert all(isinstance(outcome, PreparedGrammar) for _, outcome in asker.told)
    service.close()


def test_one_that_was_late_is_tried_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    service = make_service(limit_s=0.3, patience_s=WAIT_S)
    asker = Asker(service)
    late = asker.outcome("hang")
    assert isinstance(late, RequestError)
    known = service.helper_pids
    asker.ask("hang")
    assert isinstance(asker.told[-1][1], RequestError), "it was tried again at once"
    now = time.monotonic
    monkeypatch.setattr("sglite.ipc.grammar_service.time.monotonic", lambda: now() + 2 * LATE_S)
    assert isinstance(asker.outcome("hang"), RequestError)
    wait_until(lambda: service.helper_pids not in ([], known))
    service.close()


def test_the_first_one_waits_for_the_process_and_then_as_usual() -> None:
    service = make_service(limit_s=WAIT_S, patience_s=0.05)
    asker = Asker(service)
    assert isinstance(asker.outcome("good"), PreparedGrammar), "the start took its patience"
    service.close()


@pytest.mark.slow
def test_ten_thousand_schemas_stay_within_the_bound() -> None:
    """With the library, the embedded model's vocabulary and the usual bound."""
    tokenizer = load_tokenizer(EMBEDDED_MODEL_DIR)
    setup = GrammarSetup("llguidance", "single", read_vocabulary(tokenizer, 4096))
    service = GrammarService(GrammarTools(lambda: setup), patience_s=10 * WAIT_S)
    outcomes: list[Outcome] = []
    most = 0
    for number in range(10_000):
        schema = {"type": "object", "properties": {f"p{number}": {"maxLength": number % 100}}}
        spec = GrammarSpec("json_schema", json.dumps(schema))
        service.prepare(spec, lambda outcome: outcomes.append(type(outcome)))  # type: ignore[arg-type]
        wait_until(lambda number=number: len(outcomes) > number)
        most = max(most, service.num_cached_bytes)
    assert set(outcomes) == {PreparedGrammar}
    assert MAX_CACHE_BYTES / 2 < most <= MAX_CACHE_BYTES
    service.close()
