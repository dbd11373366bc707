from __future__ import annotations

import logging

import pytest

from sglite.observability import events as ev
from sglite.observability.narration import Narrator
from sglite.scheduler.budget import UNLIMITED
from tests.fakes import expected_output
from tests.scheduler.harness import SchedulerDriver, prompt_with_output


class Letters:
    """Tokens as letters."""

    def piece(self, token_id: int) -> str:
        return chr(ord("a") + token_id % 26)


SENTENCES: list[tuple[ev.Event, str]] = [
    (ev.Arrived("r0", 7, 16), "r0 arrives: 7 prompt tokens, up to 16 new"),
    (
        ev.Admitted("r0", 3, 42, 32, 0.25),
        "r0 gets row 3 after 0.250 s: 32 of 42 tokens cached, 10 to compute",
    ),
    (ev.HeldBack("r1", "r0 is computing its prefix"), "r1 waits: r0 is computing its prefix"),
    (
        ev.Stepped(7, [("r0", 16, 16, False), ("r1", 32, 5, True), ("r2", 40, 1, True)], 2, 64),
        "step 7: r0 prefills tokens 16 to 31 · r1 prefills tokens 32 to 36, then samples · "
        "r2 decodes token 40 (2 requests wait, room for 64 prompt tokens)",
    ),
    (
        ev.Committed(7, [("r1", 1), ("r2", 2)], 0.0123),
        "step 7 took 12.3 ms; r1: 'b' (1), r2: 'c' (2)",
    ),
    (
        ev.Inserted("r0", 2, 1),
        "r0: 2 pages new in the prefix cache, 1 was there already",
    ),
    (ev.Evicted(0, 1, "pages needed"), "cache: 1 page evicted (pages needed)"),
    (
        ev.Retracted("r0", 19, "no free KV page"),
        "r0 goes back to the queue with 19 tokens: no free KV page",
    ),
    (
        ev.Finished("r0", "stop", 7, 4, 12),
        "r0 ends (stop): 7 prompt tokens, 4 cached, 12 new",
    ),
    (ev.Flushed(9), "cache: flushed, 9 pages"),
    (ev.PagesCached("", [1, 2], [7], 0, 1), ""),
    (ev.PagesDropped([7]), ""),
]


@pytest.mark.parametrize(
    ("event", "sentence"), SENTENCES, ids=[type(event).__name__ for event, _ in SENTENCES]
)
def test_every_event_has_its_sentence(event: ev.Event, sentence: str) -> None:
    assert Narrator(Letters()).sentence(event) == sentence


def test_no_kind_of_event_is_forgotten() -> None:
    kinds = {kind.__name__ for kind in ev.Event.__subclasses__()}
    assert {type(event).__name__ for event, _ in SENTENCES} == kinds


def test_without_a_tokenizer_tokens_are_numbers() -> None:
    assert Narrator(None).sentence(ev.Committed(1, [("r", 5)], 0.0)).endswith("; r: 5")


def test_a_step_without_samples_tells_its_time_alone() -> None:
    assert Narrator(None).sentence(ev.Committed(1, [], 0.002)) == "step 1 took 2.0 ms"


def test_an_unlimited_budget_is_no_number() -> None:
    event = ev.Stepped(1, [("r", 0, 9, False)], 0, UNLIMITED)
    assert "room for any number of prompt tokens" in Narrator(None).sentence(event)


@pytest.mark.parametrize(
    ("event", "part"),
    [
        (ev.Stepped(1, [("r", 7, 1, False)], 1, 1), "(1 request waits, room for 1 prompt token)"),
        (ev.Stepped(1, [("r", 7, 1, False)], 0, 9), "r prefills token 7 (room for 9 prompt tokens"),
        (ev.Arrived("r", 1, 4096), "1 prompt token, up to 4,096 new"),
        (ev.Evicted(0, 1234, "x"), "1,234 pages evicted"),
        (ev.Retracted("r", 1, "x"), "with 1 token:"),
    ],
)
def test_numbers_are_spelled_as_people_do(event: ev.Event, part: str) -> None:
    assert part in Narrator(None).sentence(event)


def test_an_unknown_event_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="sglite"):
        Narrator(None)(ev.Event())
    assert caplog.records == []


def test_a_learner_can_follow_a_request(caplog: pytest.LogCaptureFixture) -> None:
    driver = SchedulerDriver.make(chunked_prefill_size=8)
    driver.add("first", [1, 2, 3, 4, 5, 6, 7, 8], 0)
    driver.run()
    driver.engine.scheduler._events.subscribe(Narrator(Letters()))
    tail = prompt_with_output(4, ends=False)
    prompt = [1, 2, 3, 4, 5, 6, 7, 8, *tail * 6]
    with caplog.at_level(logging.DEBUG, logger="sglite"):
        driver.add("r", prompt, 2)
        driver.run()
    told = caplog.messages
    token = expected_output(prompt, 1)[0]
    assert told[0] == "r arrives: 20 prompt tokens, up to 2 new"
    assert "8 of 20 tokens cached, 12 to compute" in told[1]
    assert told[2] == "step 2: r prefills tokens 8 to 15 (room for 8 prompt tokens)"
    assert "r: 2 pages new in the prefix cache, 0 were there already" in told
    assert any("r prefills tokens 16 to 19, then samples" in line for line in told)
    assert any(f"r: {Letters().piece(token)!r} ({token})" in line for line in told)
    assert told[-2 if "took" in told[-1] else -1].startswith("r ends (")


def test_it_costs_nothing_above_the_level_debug(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="sglite"):
        Narrator(None)(SENTENCES[0][0])
    assert caplog.records == []
