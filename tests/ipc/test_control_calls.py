from __future__ import annotations

from pathlib import Path

import pytest

from sglite.ipc import control_calls
from sglite.ipc.messages import Abort, Control, Reply, Submit
from sglite.ipc.operations import OPERATIONS, Operation
from tests.ipc.harness import RawClient, Served, endless, wait_until


def test_a_call_that_waits_ends_when_it_can_and_holds_nobody_up() -> None:
    with Served() as served, RawClient(served.path) as raw, RawClient(served.path) as other:
        raw.send(Submit([endless("a")]))
        wait_until(lambda: served.num_live() == 1)
        other.send(Control(1, "flush_cache", {"timeout_s": 60.0}))
        other.send(Control(2, "stats"))
        assert other.next_of(Reply).call_id == 2
        raw.send(Abort(["a"]))
        assert other.next_of(Reply) == Reply(1, result=True)


def test_a_wait_ends_in_time() -> None:
    with Served() as served, RawClient(served.path) as raw, RawClient(served.path) as other:
        raw.send(Submit([endless("a")]))
        wait_until(lambda: served.num_live() == 1)
        assert other.call("flush_cache", timeout_s=0.05).result is False


def test_a_call_whose_caller_has_gone_is_forgotten() -> None:
    with Served() as served, RawClient(served.path) as raw:
        raw.send(Submit([endless("a")]))
        wait_until(lambda: served.num_live() == 1)
        with RawClient(served.path) as gone:
            gone.send(Control(1, "flush_cache", {"timeout_s": 60.0}))
            engine = served.server._engine
            assert engine is not None
            wait_until(lambda: engine[2]._pending)
        wait_until(lambda: not engine[2]._pending)


def test_too_many_calls_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_calls, "MAX_PENDING_CALLS", 2)
    monkeypatch.setattr(control_calls, "TRY_AGAIN_S", 60.0)
    with Served() as served, RawClient(served.path) as raw, RawClient(served.path) as other:
        raw.send(Submit([endless("a")]))
        wait_until(lambda: served.num_live() == 1)
        for number in range(3):
            other.send(Control(number, "flush_cache", {"timeout_s": 60.0}))
        reply = other.next_of(Reply)
        assert reply.error is not None and "too many" in reply.error


def test_mistakes_and_faults_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(side: object, arguments: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setitem(OPERATIONS, "fail", Operation(fail))
    with Served() as served, RawClient(served.path) as raw:
        mistakes = [raw.call("eval"), raw.call("stop_profile"), raw.call("stats", more=1)]
        missing = raw.call("start_profile", path=str(tmp_path / "missing" / "trace.json"))
        for reply in [*mistakes, missing]:
            assert reply.error is not None and not reply.is_fault
        fault = raw.call("fail")
        assert fault.is_fault and fault.error == "the engine failed to do it"
        assert raw.call("stats").error is None
    assert "secret" in caplog.text
