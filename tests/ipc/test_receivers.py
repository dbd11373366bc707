from __future__ import annotations

import pytest

from sglite.errors import CapacityError, EngineDeadError
from sglite.ipc.receivers import Receivers
from sglite.request import OutputBatch, TokenLogprobs
from tests.fakes import finish_of
from tests.ipc.harness import Receiver


def make(*names: str) -> tuple[Receivers, list[list[str]], dict[str, Receiver]]:
    """One receiver per name; the requests of ``x`` are ``x0`` and ``x1``."""
    aborted: list[list[str]] = []
    receivers = Receivers(aborted.append)
    made = {}
    for name in names:
        made[name] = Receiver()
        receivers.add([f"{name}0", f"{name}1"], made[name])
    return receivers, aborted, made


def test_a_batch_for_one_is_passed_on_as_it_is() -> None:
    receivers, _, made = make("a", "b")
    batch = OutputBatch(tokens=[("a0", 1), ("a1", 2)], finished=[finish_of("a0")])
    receivers.deliver(batch)
    assert made["a"].batches[0] is batch and not made["b"].batches
    assert len(receivers) == 3 and "a0" not in receivers and "a1" in receivers


def test_each_gets_its_columns_with_logprobs_at_their_tokens() -> None:
    receivers, _, made = make("a", "b")
    receivers.deliver(
        OutputBatch(
            started=[("a0", 3), ("b0", 4)],
            tokens=[("b0", 10), ("a0", 11), ("b1", 12)],
            logprobs={1: TokenLogprobs(11, -1.1), 2: TokenLogprobs(12, -1.2)},
            prompt_logprobs=[("b1", [TokenLogprobs(9, -0.9)])],
            finished=[finish_of("b0")],
        )
    )
    (first,), (second,) = made["a"].batches, made["b"].batches
    assert first == OutputBatch(
        started=[("a0", 3)], tokens=[("a0", 11)], logprobs={0: TokenLogprobs(11, -1.1)}
    )
    assert second.started == [("b0", 4)] and second.tokens == [("b0", 10), ("b1", 12)]
    assert second.logprobs == {1: TokenLogprobs(12, -1.2)}
    assert second.prompt_logprobs == [("b1", [TokenLogprobs(9, -0.9)])]
    assert [end.request_id for end in second.finished] == ["b0"]


def test_outputs_of_unknown_requests_are_nobodys() -> None:
    receivers, _, made = make("a")
    receivers.deliver(OutputBatch(tokens=[("gone", 1)], finished=[finish_of("gone")]))
    receivers.deliver(OutputBatch(tokens=[("gone", 1), ("a0", 2)]))
    receivers.deliver(OutputBatch())
    receivers.refuse("gone", CapacityError("full"))
    assert [batch.tokens for batch in made["a"].batches] == [[("a0", 2)]]
    assert not made["a"].refusals


def test_a_refusal_ends_one_request() -> None:
    receivers, _, made = make("a")
    receivers.refuse("a0", CapacityError("full"))
    assert [name for name, _ in made["a"].refusals] == ["a0"]
    assert len(receivers) == 1


def test_the_end_is_heard_once_by_each() -> None:
    receivers, _, made = make("a", "b")
    error = EngineDeadError("gone")
    receivers.fail(error)
    receivers.fail(error)
    assert made["a"].refusals == made["b"].refusals == [(None, error)]
    assert len(receivers) == 0


def test_a_receiver_that_fails_loses_its_requests_alone(caplog: pytest.LogCaptureFixture) -> None:
    receivers, aborted, made = make("a", "b")

    def fail(batch: OutputBatch) -> None:
        raise ValueError("a bug")

    made["a"].deliver = fail  # type: ignore[method-assign]
    receivers.deliver(OutputBatch(tokens=[("a0", 1), ("b0", 2)]))
    receivers.deliver(OutputBatch(tokens=[("a0", 1), ("b0", 3)], finished=[finish_of("a0")]))
    assert aborted == [["a0", "a1"]]
    ((name, error),) = made["a"].refusals
    assert name is None and isinstance(error, ValueError)
    assert made["b"].tokens == {"b0": [2, 3]}
    assert "receiver_failed" in caplog.text
