"""Prompts in their line: oldest first, those that come back before all others."""

from __future__ import annotations

from sglite.ipc.prompt_groups import PromptGroup, PromptLine, count_waiting, ended_waiting, grouped
from sglite.request import FinishReason, OutputBatch, Request


def group(*request_ids: str) -> PromptGroup:
    (made,) = grouped(
        [
            Request(request_id=each, prompt_token_ids=[1, 2], group_id=request_ids[0])
            for each in request_ids
        ],
        page_size=2,
        now_s=5.0,
        timeout_s=None,
    )
    return made


def test_the_line_keeps_its_order_and_its_count() -> None:
    line, (a, b, c, d) = PromptLine(), [group("a"), group("b", "b1"), group("c"), group("d")]
    line.append(a)
    line.append(b)
    line.put_first([c, d])
    assert list(line) == [c, d, a, b] and line.num_requests == 5
    line.remove(d)
    line.end_request(b, "b")
    assert list(line) == [c, a, b] and line.num_requests == 3
    line.end_request(b, "b1")
    assert list(line) == [c, a] and line.num_requests == len(line) == 2


def test_what_nothing_was_heard_of_may_be_computed_elsewhere() -> None:
    samples = group("a", "a1")
    samples.heard_of.add("a")
    assert list(samples.unheard_of()) == ["a1"]


def test_only_requests_without_a_deadline_get_the_servers() -> None:
    requests = [
        Request(request_id="a", prompt_token_ids=[1]),
        Request(request_id="b", prompt_token_ids=[1], deadline_s=7.0),
    ]
    made = grouped(requests, page_size=2, now_s=5.0, timeout_s=10.0)
    deadlines = [request.deadline_s for each in made for request in each.requests.values()]
    assert deadlines == [15.0, 7.0]


def test_times_begin_with_the_arrival_here() -> None:
    waited = group("a")
    waited.submitted_s = 8.0
    batch = ended_waiting(waited, waited.requests["a"], "why", 9.0)
    (end,) = batch.finished
    assert (end.reason, end.message, end.timings.arrival_s) == (FinishReason.ABORT, "why", 5.0)
    count_waiting(batch, {"a": waited})
    assert batch.finished[0].timings.arrival_s == 2.0  # three seconds before the engine's own
    unknown = OutputBatch(finished=[end])
    count_waiting(unknown, {})
    assert unknown.finished == [end]
