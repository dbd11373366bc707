"""Several engines as one: where requests go, wait, end, and what an engine's end does to them."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

import pytest

from sglite.errors import CapacityError, EngineDeadError, NotReadyError
from sglite.ipc.messages import Digest, Heartbeat, Note
from sglite.request import FinishReason, Request
from sglite.router.policies import RoutedRequest
from sglite.router.prefix_hashes import page_hashes
from tests.ipc.fake_members import FakeClient, fleet_client, join, joined
from tests.ipc.harness import Receiver, run


def request(request_id: str, **fields: Any) -> Request:
    return Request(**{"request_id": request_id, "prompt_token_ids": [1, 2, 3], **fields})


def submit(fleet: Any, *request_ids: str) -> Receiver:
    receiver = Receiver()
    fleet.submit([request(each) for each in request_ids], receiver)
    return receiver


def placed(engines: list[FakeClient]) -> list[list[str]]:
    return [list(engine.requests) for engine in engines]


def endings(receiver: Receiver) -> dict[str, FinishReason]:
    return {finish.request_id: finish.reason for finish in receiver.finishes}


def refusals(receiver: Receiver) -> dict[str | None, type[Exception]]:
    return {request_id: type(error) for request_id, error in receiver.refusals}


def test_requests_go_where_the_router_says_and_answers_to_who_asked() -> None:
    async def work() -> None:
        fleet, engines = await joined(2)
        one, two = submit(fleet, "a", "b"), submit(fleet, "c")
        assert placed(engines) == [["a", "c"], ["b"]]
        assert (fleet.open_count, fleet.waiting_count) == (3, 0)
        engines[0].begin("a", "c")
        engines[0].token("c", 7)
        engines[1].end("b")
        engines[0].end("c", "a")
        assert endings(one).keys() == {"a", "b"} and endings(two).keys() == {"c"}
        assert two.tokens == {"c": [7]} and one.tokens == {}
        assert fleet.open_count == 0

    run(work())


def test_samples_of_one_prompt_go_together() -> None:
    async def work() -> None:
        fleet, engines = await joined(2)
        samples = [request(f"p-{i}", group_id="p") for i in range(3)]
        fleet.submit([*samples, request("q")], Receiver())
        assert placed(engines) == [["p-0", "p-1", "p-2"], ["q"]]

    run(work())


def test_the_router_sees_tokens_session_and_prefix() -> None:
    async def work() -> None:
        seen: list[RoutedRequest] = []
        fleet, _ = await joined(1)
        route = fleet._router.try_route
        fleet._router.try_route = lambda each, now: seen.append(each) or route(each, now)
        fleet.submit(
            [request(f"p-{i}", group_id="p", session="s", max_new_tokens=5) for i in (0, 1)],
            Receiver(),
        )
        fleet.submit([request("salted", namespace="salt")], Receiver())
        fleet.submit([request("keyed", key_ids=[1, 2, 9])], Receiver())
        fleet.submit([request("other", key_ids=[8, 2, 9])], Receiver())
        first, salted, keyed, other = seen
        assert (first.request_id, first.num_tokens, first.session) == ("p", 3 + 5 + 5, "s")
        assert len(first.prefix_hashes()) == 1  # whole pages of two tokens
        assert first.prefix_hashes() == keyed.prefix_hashes()
        assert first.prefix_hashes() not in (salted.prefix_hashes(), other.prefix_hashes())

    run(work())


def test_what_exceeds_the_limits_waits_its_turn_and_none_is_lost() -> None:
    async def work() -> None:
        fleet, engines = await joined(2, max_inflight_total=3, max_inflight_per_engine=2)
        receiver = submit(fleet, *"abcdef")
        assert placed(engines) == [["a", "c"], ["b"]] and fleet.waiting_count == 3
        submit(fleet, "late")
        engines[1].end("b")
        assert placed(engines) == [["a", "c"], ["b", "d"]]
        engines[0].refuse("a", CapacityError("full"))
        assert placed(engines) == [["a", "c", "e"], ["b", "d"]]
        engines[0].end("c", "e")
        engines[1].end("d")
        assert {*engines[0].requests, *engines[1].requests} == {*"abcdef", "late"}
        assert endings(receiver).keys() == set("bcde") and refusals(receiver).keys() == {"a"}
        assert (fleet.open_count, fleet.waiting_count) == (2, 0)

    run(work())


def test_a_line_that_is_full_refuses_and_changes_nothing() -> None:
    async def work() -> None:
        fleet, engines = await joined(1, max_inflight_total=1, max_waiting=2)
        submit(fleet, "a", "b", "c")
        with pytest.raises(CapacityError, match="2 requests wait .* max_queued_requests is 2"):
            submit(fleet, "d")
        engines[0].end("a")
        submit(fleet, "d")
        assert fleet.open_count == 3 and fleet.waiting_count == 2

    run(work())


def test_where_nobody_may_wait_there_is_still_room_at_the_engines() -> None:
    async def work() -> None:
        fleet, engines = await joined(1, max_inflight_total=1, max_waiting=0)
        submit(fleet, "a")
        assert placed(engines) == [["a"]]

    run(work())


def test_an_aborted_request_that_waits_ends_without_an_engine() -> None:
    async def work() -> None:
        fleet, engines = await joined(1, max_inflight_total=1)
        receiver = submit(fleet, "a", "b", "c")
        fleet.abort(["a", "b", "unknown"])
        assert engines[0].aborted == ["a"] and not receiver.finishes
        await receiver.wait_for_ends(1)
        (end,) = receiver.finishes
        assert (end.request_id, end.reason, end.message) == (
            "b",
            FinishReason.ABORT,
            "aborted by the caller",
        )
        assert fleet.waiting_count == 1
        engines[0].end("a", reason=FinishReason.ABORT)
        assert placed(engines) == [["a", "c"]]

    run(work())


def test_a_deadline_ends_what_still_waits() -> None:
    async def work() -> None:
        fleet, engines = await joined(1, max_inflight_total=1, timeout_s=60.0)
        receiver = submit(fleet, "a")
        soon = request("b", deadline_s=time.monotonic() + 0.01)
        fleet.submit([soon], receiver)
        await receiver.wait_for_ends(1)
        assert endings(receiver) == {"b": FinishReason.ABORT}
        assert "deadline" in str(receiver.finishes[0].message)
        deadline_s = engines[0].requests["a"].deadline_s
        assert deadline_s is not None and 0 < deadline_s - time.monotonic() <= 60.0
        engines[0].end("a")
        assert placed(engines) == [["a"]] and fleet.open_count == 0

    run(work())


def test_a_deadline_of_a_request_that_has_an_engine_is_the_engines() -> None:
    async def work() -> None:
        fleet, _ = await joined(1)
        receiver = Receiver()
        fleet.submit([request("a", deadline_s=time.monotonic() + 0.01)], receiver)
        await asyncio.sleep(0.05)
        assert not receiver.finishes and fleet.open_count == 1

    run(work())


def test_the_time_in_the_line_counts_as_queued() -> None:
    async def work() -> None:
        fleet, engines = await joined(1, max_inflight_total=1)
        receiver = submit(fleet, "a", "b")
        await asyncio.sleep(0.02)
        engines[0].end("a")
        engines[0].end("b")
        waits = [
            finish.timings.admitted_s - finish.timings.arrival_s for finish in receiver.finishes
        ]
        assert waits[0] == pytest.approx(0.5, abs=0.01) and waits[1] > 0.515

    run(work())


def test_when_an_engine_ends_what_had_not_begun_goes_elsewhere_and_the_rest_fails() -> None:
    async def work() -> None:
        fleet, engines = await joined(2)
        running, fresh = submit(fleet, "a", "b"), submit(fleet, "c", "d")
        assert placed(engines) == [["a", "c"], ["b", "d"]]
        engines[0].begin("a")
        engines[0].die("killed by signal 9")
        assert refusals(running) == {"a": EngineDeadError}
        assert "killed by signal 9" in str(running.refusals[0][1])
        assert placed(engines)[1] == ["b", "d", "c"]
        engines[1].end("b", "c", "d")
        assert endings(fresh).keys() == {"c", "d"} and not fresh.refusals
        assert fleet.open_count == 0 and fleet.is_alive

    run(work())


def test_moved_requests_come_before_those_that_wait_and_in_their_order() -> None:
    async def work() -> None:
        fleet, engines = await joined(2, max_inflight_per_engine=2)
        submit(fleet, *"abcdef")
        assert placed(engines) == [["a", "c"], ["b", "d"]]
        engines[0].die()
        engines[1].end("b")
        engines[1].end("d")
        engines[1].end("a")
        assert placed(engines)[1] == ["b", "d", "a", "c", "e"]

    run(work())


def test_a_call_is_told_once_what_became_of_each_of_its_requests() -> None:
    """One request of a call fails: the caller gives up the others, whichever state they are in."""

    async def work() -> None:
        class GivingUp(Receiver):
            def refuse(self, request_id: str | None, error: Exception) -> None:
                super().refuse(request_id, error)
                fleet.abort(list("abcde"))

        fleet, engines = await joined(2, max_inflight_per_engine=2)
        receiver = GivingUp()
        fleet.submit([request(each) for each in "abcde"], receiver)
        engines[0].begin("a")
        engines[0].die()
        assert refusals(receiver) == {"a": EngineDeadError}
        await receiver.wait_for_ends(3)
        assert endings(receiver).keys() == {"c", "e"}
        assert sorted(engines[1].aborted) == ["b", "d"]
        engines[1].end("b", "d", reason=FinishReason.ABORT)
        assert fleet.open_count == fleet.waiting_count == 0

    run(work())


def test_a_request_that_saw_two_engines_end_gets_no_third() -> None:
    async def work() -> None:
        fleet, engines = await joined(3)
        receiver = submit(fleet, "poison")
        engines[0].die()
        assert placed(engines) == [["poison"], ["poison"], []]
        engines[1].die()
        assert placed(engines)[2] == [] and refusals(receiver) == {"poison": EngineDeadError}

    run(work())


def test_without_any_engine_everybody_is_told_at_once_and_later_it_heals() -> None:
    async def work() -> None:
        fleet, (engine,) = await joined(1, max_inflight_total=1)
        receiver = submit(fleet, "a", "b")
        engine.die()
        assert refusals(receiver) == {"a": NotReadyError, "b": NotReadyError}
        assert not fleet.is_alive and fleet.heals and fleet.open_count == 0
        with pytest.raises(NotReadyError, match="no engine runs"):
            submit(fleet, "c")
        with pytest.raises(NotReadyError):
            await fleet.control("stats")
        again = FakeClient()
        back: list[int] = []
        fleet.on_join.append(back.append)
        assert await join(fleet, 0, again) and back == [0]
        submit(fleet, "d")
        assert placed([again]) == [["d"]] and fleet.is_alive

    run(work())


def test_the_deadline_of_what_was_refused_in_the_line_does_nothing() -> None:
    async def work() -> None:
        faults: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
        fleet, (engine,) = await joined(1, max_inflight_total=1)
        submit(fleet, "a")
        fleet.submit([request("b", deadline_s=time.monotonic() + 0.01)], Receiver())
        engine.die()
        await asyncio.sleep(0.03)
        assert not faults

    run(work())


def test_an_engine_joins_though_all_others_end_meanwhile() -> None:
    async def work() -> None:
        fleet, (old,) = await joined(1)
        old.controls["stats"] = EngineDeadError("killed")
        assert await join(fleet, 1, FakeClient())

    run(work())


def test_an_engine_that_has_just_ended_gets_nothing() -> None:
    """Its end is known to its client, and not yet to the fleet."""

    async def work() -> None:
        fleet, engines = await joined(2)
        engines[0].die()
        submit(fleet, "a", "b")
        assert placed(engines) == [[], ["a", "b"]]
        await asyncio.sleep(0)
        assert list(fleet.engines) == [1]

    run(work())


def test_an_engine_that_is_gone_or_loads_cannot_join() -> None:
    async def work() -> None:
        fleet = fleet_client()
        with pytest.raises(NotReadyError):
            await join(fleet, 0, FakeClient(is_ready=False))
        with pytest.raises(NotReadyError):
            submit(fleet, "a")
        gone = FakeClient()
        gone.die()
        assert not await join(fleet, 0, gone)
        assert not fleet.is_alive

    run(work())


def test_a_retired_engine_keeps_what_it_has() -> None:
    async def work() -> None:
        fleet, engines = await joined(2)
        receiver = submit(fleet, "a")
        fleet.retire(0)
        fleet.retire(7)
        submit(fleet, "b", "c")
        assert placed(engines) == [["a"], ["b", "c"]]
        engines[0].end("a")
        assert endings(receiver).keys() == {"a"}

    run(work())


def test_an_engine_that_joins_while_the_others_pause_pauses_too() -> None:
    async def work() -> None:
        fleet, engines = await joined(1)
        engines[0].controls["stats"] = {"is_paused": 1}
        late = FakeClient()
        await join(fleet, 1, late)
        assert late.controlled == [("pause", {"mode": "in_place"})]

    run(work())


def test_what_fits_the_fleet_fits_each_engine() -> None:
    async def work() -> None:
        fleet = fleet_client()
        one, two = FakeClient(context_length=800), FakeClient(pool_tokens=3000)
        one.heartbeat, two.heartbeat = Heartbeat(0.1, 1, 2, 3, 40), Heartbeat(0.2, 1, 2, 3, 50)
        await join(fleet, 0, one)
        await join(fleet, 1, two)
        assert (fleet.ready.context_length, fleet.ready.pool_tokens) == (800, 3000)
        assert fleet.ready.config["dp_size"] == 2
        beat = fleet.heartbeat
        assert beat == Heartbeat(0.2, 2, 4, 6, 90)
        assert fleet.heartbeat_age_s == 0.5

    run(work())


def test_abort_all_reaches_the_line() -> None:
    async def work() -> None:
        fleet, engines = await joined(1, max_inflight_total=1)
        receiver = submit(fleet, "a", "b")
        await fleet.control("abort_all")
        assert engines[0].controlled[-1][0] == "abort_all"
        assert endings(receiver) == {"b": FinishReason.ABORT}
        submit(fleet, "c")
        await fleet.control("pause", mode="retract")
        assert fleet.waiting_count == 1

    run(work())


def test_notes_go_through_the_engine_that_has_lived_longest() -> None:
    async def work() -> None:
        fleet, engines = await joined(2)
        heard: list[Note] = []
        fleet.on_note = heard.append
        note = Note("topic", 0, 1)
        fleet.send_note(note)
        engines[0].on_note(note)
        engines[0].die()
        back = FakeClient()
        await join(fleet, 0, back)
        fleet.send_note(note)
        assert [len(each.notes) for each in (*engines, back)] == [1, 1, 0]
        back.on_note(note)
        assert heard == [note, note]

    run(work())


def test_a_closed_fleet_fails_everything_once() -> None:
    async def work() -> None:
        fleet, engines = await joined(2, max_inflight_total=1)
        receiver = submit(fleet, "a", "b")
        fleet.close()
        assert refusals(receiver) == {"b": EngineDeadError, None: EngineDeadError}
        engines[0].die()
        engines[1].die()
        with pytest.raises(EngineDeadError):
            submit(fleet, "c")
        assert not await join(fleet, 0, FakeClient())

    run(work())


def test_a_request_is_sent_as_it_came() -> None:
    async def work() -> None:
        fleet, engines = await joined(1)
        sent = request("a", seed=4, session="s")
        fleet.submit([sent], Receiver())
        assert dataclasses.asdict(engines[0].requests["a"]) == dataclasses.asdict(sent)

    run(work())


def test_what_an_engine_says_of_its_cache_is_heard_while_it_loads() -> None:
    async def work() -> None:
        fleet = fleet_client(routing_policy="cache_aware")
        engines = [FakeClient(), FakeClient()]
        for number, engine in enumerate(engines):
            fleet.expect(number, engine)
        hashes = page_hashes([1, 2, 3, 4], 2)
        packed = b"".join(each.to_bytes(8, "little") for each in hashes)
        engines[1].on_digest(Digest(page_size=2, is_whole=True, added=packed))
        for number, engine in enumerate(engines):
            await fleet.join(number, engine)
        fleet.submit([request("a", prompt_token_ids=[1, 2, 3, 4, 5])], Receiver())
        fleet.submit([request("b", prompt_token_ids=[5, 6])], Receiver())
        assert placed(engines) == [["b"], ["a"]]

    run(work())


def test_what_other_processes_sent_counts() -> None:
    async def work() -> None:
        fleet, engines = await joined(2, has_peers=True, routing_policy="shortest_queue")
        engines[0].heartbeat = Heartbeat(0.1, 3, 2, 0, 900)
        submit(fleet, "a", "b")
        assert placed(engines) == [[], ["a", "b"]]
        engines[0].heartbeat = Heartbeat(0.1, 0, 0, 0, 0)
        submit(fleet, "c")
        assert placed(engines) == [["c"], ["a", "b"]]

    run(work())
