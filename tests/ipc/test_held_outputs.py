from __future__ import annotations

from sglite.ipc.held_outputs import HeldOutputs
from sglite.request import OutputBatch, Request
from tests.fakes import finish_of


def request(name: str, *, is_streamed: bool = False) -> Request:
    return Request(request_id=name, prompt_token_ids=[1], is_streamed=is_streamed)


def some(name: str, *token_ids: int) -> OutputBatch:
    return OutputBatch(tokens=[(name, token_id) for token_id in token_ids])


def test_tokens_wait_until_their_request_ends() -> None:
    held = HeldOutputs(hold_s=1.0)
    held.expect(request("a"))
    assert held.pass_on(some("a", 1), 10.0)  # nobody was told anything for long
    assert not held.pass_on(some("a", 2), 10.1)
    assert not held.pass_on(some("a", 3), 10.2)
    end = some("a", 4)
    end.finished.append(finish_of("a"))
    told = held.pass_on(end, 10.3)
    assert told.tokens == [("a", 2), ("a", 3), ("a", 4)]
    assert [end.request_id for end in told.finished] == ["a"]
    assert not held.pass_on(OutputBatch(), 10.4)


def test_they_wait_no_longer_than_a_moment() -> None:
    held = HeldOutputs(hold_s=1.0)
    held.expect(request("a"))
    held.pass_on(some("a", 1), 10.0)
    assert not held.pass_on(some("a", 2), 10.9)
    assert held.pass_on(some("a", 3), 11.0).tokens == [("a", 2), ("a", 3)]
    assert not held.pass_on(some("a", 4), 11.5)


def test_nothing_waits_while_somebody_reads_along() -> None:
    held = HeldOutputs(hold_s=1.0)
    held.expect(request("a"))
    held.expect(request("s", is_streamed=True))
    held.pass_on(some("a", 1), 10.0)
    assert held.pass_on(some("a", 2), 10.1).tokens == [("a", 2)]
    held.pass_on(OutputBatch(finished=[finish_of("s")]), 10.2)
    assert not held.pass_on(some("a", 3), 10.3)


def test_a_stream_that_joins_gets_its_first_token_with_what_was_held() -> None:
    held = HeldOutputs(hold_s=1.0)
    held.pass_on(some("a", 1), 10.0)
    held.pass_on(some("a", 2), 10.1)
    held.expect(request("s", is_streamed=True))
    assert held.pass_on(some("s", 7), 10.2).tokens == [("a", 2), ("s", 7)]
