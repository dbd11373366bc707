"""The server from outside: what clients send, sound or not, and what it does to others."""

from __future__ import annotations

import dataclasses
import os
import pickle
import random
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sglite.ipc import client as client_module
from sglite.ipc.messages import Abort, Digest, Fatal, Heartbeat, Outputs, Ready, Refused, Submit
from sglite.request import FinishReason, Request
from sglite.router.prefix_hashes import page_hashes, unpack
from sglite.validation import RequestLimits
from tests.fakes import EOS, VOCAB, expected_output
from tests.ipc.harness import PROMPTS, RawClient, Served, endless, request, wait_until


@pytest.fixture
def served() -> Iterator[Served]:
    with Served() as served:
        yield served


def collect(raw: RawClient, *names: str) -> dict[str, list[int]]:
    """Read until these requests have ended; their tokens."""
    tokens: dict[str, list[int]] = {name: [] for name in names}
    left = set(names)
    while left:
        batch = raw.next_of(Outputs).batch
        for name, token in batch.tokens:
            tokens[name].append(token)
        left -= {end.request_id for end in batch.finished}
    return tokens


# -- requests --------------------------------------------------------------------------------------


def test_every_connection_is_greeted_and_gets_its_own_outputs(served: Served) -> None:
    with RawClient(served.path) as one, RawClient(served.path) as two:
        assert one.next() == two.next() == served.ready()
        one.send(Submit([request("a", 0), request("b", 1)]))
        two.send(Submit([request("c", 2)]))
        assert collect(one, "a", "b") == {
            "a": expected_output(PROMPTS[0], 10),
            "b": expected_output(PROMPTS[1], 10),
        }
        assert collect(two, "c") == {"c": expected_output(PROMPTS[2], 10)}


def test_that_a_request_is_streamed_crosses(served: Served) -> None:
    with RawClient(served.path) as raw:
        streamed = dataclasses.replace(endless("a"), is_streamed=True)
        raw.send(Submit([streamed, endless("b", 1)]))
        raw.next_of(Outputs)
        live = served.client.call(
            lambda engine: {
                name: sequence.request.is_streamed
                for name, sequence in engine.scheduler.live.items()
            }
        )
        assert live == {"a": True, "b": False}


def test_a_connection_that_closes_takes_its_requests_along(served: Served) -> None:
    with RawClient(served.path) as other:
        with RawClient(served.path) as gone:
            gone.send(Submit([endless("a"), endless("b", 1)]))
            other.send(Submit([endless("c", 2)]))
            assert gone.next_of(Outputs).batch.started
            wait_until(lambda: served.num_live() == 3)
        wait_until(lambda: served.num_live() == 1)
        other.send(Abort(["c"]))
        wait_until(lambda: served.num_live() == 0)


def test_nobody_aborts_the_requests_of_another_connection(served: Served) -> None:
    with RawClient(served.path) as one, RawClient(served.path) as two:
        one.send(Submit([endless("a")]))
        one.next_of(Outputs)
        two.send(Abort(["a", "unknown"]))
        assert two.call("stats").result["num_running_requests"] == 1
        one.send(Abort(["a"]))
        while not (ends := one.next_of(Outputs).batch.finished):
            continue
        assert [end.reason for end in ends] == [FinishReason.ABORT]


def test_refusals_name_the_request() -> None:
    with (
        Served(max_running_requests=1, max_queued_requests=1) as served,
        RawClient(served.path) as raw,
    ):
        raw.send(Submit([endless("a"), endless("b", 1), endless("c", 2)]))
        for name in ("b", "c"):
            refused = raw.next_of(Refused)
            assert refused.request_id == name and refused.retry_after_s


def test_before_there_is_an_engine_requests_are_refused() -> None:
    with Served(is_ready=False) as served, RawClient(served.path) as raw:
        raw.send(Submit([request("a")]))
        assert raw.next() == Refused("a", "the engine is loading", 1.0)
        served.become_ready()
        assert isinstance(raw.next(), Ready)
        raw.send(Submit([request("a")]))
        assert collect(raw, "a")["a"] == expected_output(PROMPTS[0], 10)


# -- what is no request ----------------------------------------------------------------------------


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.open, (self.path, os.O_CREAT)


TYPED = msgspec.msgpack.encode(Submit([request("a")]))
BAD_FRAMES = {
    "empty": b"",
    "text": b"GET / HTTP/1.1\r\n\r\n",
    "truncated": TYPED[:-3],
    "surplus": TYPED + b"\0",
    "unknown-tag": msgspec.msgpack.encode({"type": "eval", "code": "1"}),
    "no-tag": msgspec.msgpack.encode({"requests": []}),
    "field-missing": msgspec.msgpack.encode({"type": "submit"}),
    "wrong-type": msgspec.msgpack.encode({"type": "abort", "request_ids": [1]}),
    "from-engine": msgspec.msgpack.encode(Fatal("end")),
    "ext": b"\xc7\x04\x01abcd",
    "ext-inside": b"\x82\xa4type\xa5abort\xabrequest_ids\x91\xd4\x01a",
    "timestamp": b"\xd6\xff\0\0\0\0",
    "not-utf8": b"\x82\xa4type\xa5abort\xabrequest_ids\x91\xa2\xff\xff",
    "nested": b"\x83\xa4type\xa6submit\xa8requests\x90\xa1x" + b"\x91" * 1_000_000,
    "nested-maps": b"\x81\xa1a" * 1_000_000,
    "huge-array": b"\x82\xa4type\xa6submit\xa8requests\xdd\xff\xff\xff\xff",
    "huge-text": b"\xdb\xff\xff\xff\xff",
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_a_frame_that_is_no_message_is_dropped_and_counted(served: Served, name: str) -> None:
    with RawClient(served.path) as raw:
        raw.send_frame(BAD_FRAMES[name])
        assert raw.call("stats").error is None
        assert served.server.num_dropped_frames == 1
        raw.send(Submit([request("a")]))
        assert collect(raw, "a")["a"] == expected_output(PROMPTS[0], 10)


def test_a_pickle_is_never_run(served: Served, tmp_path: Path) -> None:
    payload = pickle.dumps(Payload(tmp_path / "owned"))
    inside = {"type": "submit", "requests": payload}
    extended = msgspec.msgpack.Ext(1, payload)
    with RawClient(served.path) as raw:
        for frame in (payload, msgspec.msgpack.encode(inside), msgspec.msgpack.encode(extended)):
            raw.send_frame(frame)
        assert raw.call("stats").error is None
    assert served.server.num_dropped_frames == 3
    assert not (tmp_path / "owned").exists()


def test_an_oversized_length_ends_that_connection_only() -> None:
    with (
        Served(max_frame_bytes=100_000) as served,
        RawClient(served.path) as bad,
        RawClient(served.path) as good,
    ):
        bad.socket.sendall((100_001).to_bytes(4, "big"))
        assert isinstance(bad.next(), Ready) and bad.next() is None
        assert good.call("stats").error is None
        assert served.server.num_dropped_frames == 1


def test_half_a_frame_holds_nobody_up(served: Served) -> None:
    with RawClient(served.path) as slow, RawClient(served.path) as good:
        slow.socket.sendall(len(TYPED).to_bytes(4, "big") + TYPED[:10])
        assert good.call("stats").error is None
        slow.socket.sendall(TYPED[10:])
        assert collect(slow, "a")["a"] == expected_output(PROMPTS[0], 10)


def test_a_request_the_engine_cannot_run_is_refused_and_an_id_in_use_ignored(
    served: Served,
) -> None:
    with RawClient(served.path) as one, RawClient(served.path) as two:
        one.send(Submit([endless("a")]))
        one.next_of(Outputs)
        one.send(Submit([request("a", 1)]))
        one.send(Submit([Request(request_id="b", prompt_token_ids=[VOCAB])]))
        assert one.next_of(Refused).request_id == "b"
        assert served.server.num_dropped_frames == 2
        two.send(Submit([request("a", 1)]))
        assert two.next_of(Refused).request_id == "a"
        assert served.num_live() == 1


def test_mutated_frames_leave_the_engine_sound() -> None:
    limits = RequestLimits(
        context_length=64, pool_tokens=512, vocab_size=VOCAB, eos_token_ids=frozenset({EOS})
    )
    chance = random.Random(5)
    with Served(limits=limits) as served, RawClient(served.path) as good:
        for _ in range(20):
            with RawClient(served.path) as bad:
                for _ in range(100):
                    frame = bytearray(TYPED)
                    for _ in range(chance.randint(1, 4)):
                        frame[chance.randrange(len(frame))] = chance.randrange(256)
                    bad.send_frame(bytes(frame[: chance.choice([len(frame), len(frame) - 1])]))
        good.send(Submit([request("good")]))
        assert collect(good, "good")["good"] == expected_output(PROMPTS[0], 10)
        assert served.server.num_dropped_frames > 1000
        wait_until(lambda: served.num_live() == 0)


def test_random_streams_leave_the_server_sound(served: Served) -> None:
    chance = random.Random(6)
    for _ in range(50):
        with RawClient(served.path) as bad:
            bad.socket.sendall(b"\0\0" + chance.randbytes(chance.randrange(2000)))
    with RawClient(served.path) as good:
        assert good.call("stats").error is None


# -- slow readers ----------------------------------------------------------------------------------


LONG_NAME = "x" * 4000
"""Every token carries the name of its request: it fills a socket in fifty steps."""


def test_a_reader_that_stops_reading_loses_its_requests_and_nobody_elses() -> None:
    with (
        Served(max_backlog_bytes=64_000) as served,
        RawClient(served.path) as slow,
        RawClient(served.path) as good,
    ):
        slow.send(Submit([endless(f"{LONG_NAME}{number}", number) for number in range(8)]))
        wait_until(lambda: served.stats()["num_output_tokens"] > 0)
        wait_until(lambda: served.num_live() == 0)
        good.send(Submit([request("g")]))
        assert collect(good, "g")["g"] == expected_output(PROMPTS[0], 10)
        while slow.next() is not None:
            continue


def test_a_reader_that_is_slow_for_a_while_misses_nothing(served: Served) -> None:
    with RawClient(served.path) as raw:
        raw.send(Submit([dataclasses.replace(endless(LONG_NAME, 3), is_streamed=True)]))
        wait_until(lambda: served.stats()["num_output_tokens"] > 200)
        (connection,) = served.server._connections
        assert connection.has_backlog
        raw.send(Abort([LONG_NAME]))
        tokens = collect(raw, LONG_NAME)[LONG_NAME]
        expected = expected_output(PROMPTS[3], len(tokens), stop_at_eos=False)
        assert len(tokens) > 200 and tokens == expected
        wait_until(lambda: not connection.has_backlog)


# -- signs of life, and the end --------------------------------------------------------------------


def test_heartbeats_tell_how_old_the_last_turn_of_the_loop_is() -> None:
    with Served(heartbeat_s=0.02) as served, RawClient(served.path) as raw:
        release = served.client.begin_call(lambda engine: time.sleep(0.3))
        ages = []
        while not release.done():
            raw.socket.recv_into(raw._reader.space())
            ages.append(served.client.loop_age_s)
        assert max(ages) > 0.1
        wait_until(lambda: served.client.loop_age_s < 0.1)


def test_a_heartbeat_counts_what_runs_and_waits() -> None:
    decoder = msgspec.msgpack.Decoder(Heartbeat)
    with Served(heartbeat_s=0.02, max_running_requests=1) as served, RawClient(served.path) as raw:
        raw.send(Submit([endless("a"), endless("b", 1)]))
        while True:
            count = raw.socket.recv_into(raw._reader.space())
            frames = [bytes(frame) for frame in raw._reader.frames(count)]
            beats = [decoder.decode(frame) for frame in frames if b"heartbeat" in frame]
            if any((b.num_running, b.num_waiting_tokens) == (1, 2) for b in beats):
                break


def test_who_connects_hears_what_is_cached_and_then_what_changes() -> None:
    def listen(raw: RawClient, hashes: set[int]) -> bool:
        message = raw.next_of(Digest)
        if message.is_whole:
            hashes.clear()
        hashes.difference_update(unpack(message.removed))
        hashes.update(unpack(message.added))
        return message.is_whole

    prompts = [list(range(number, number + 40)) for number in (1, 2)]
    known = [set(page_hashes(prompt, 16)) for prompt in prompts]
    with Served(publishes_digest=True) as served, RawClient(served.path) as first:
        early: set[int] = set()
        assert listen(first, early) and not early
        for number, prompt in enumerate(prompts):
            first.send(Submit([Request(request_id=str(number), prompt_token_ids=prompt)]))
            while not known[number] <= early:
                assert not listen(first, early)
        with RawClient(served.path) as second:
            late: set[int] = set()
            assert isinstance(second.next(), Ready) and listen(second, late)
            assert known[0] | known[1] <= late
            assert first.call("abort_all").error is None
            assert first.call("flush_cache", timeout_s=10.0).result is True
            while early or late:
                if early:
                    listen(first, early)
                if late:
                    listen(second, late)


def test_without_a_digest_nothing_is_told(served: Served) -> None:
    with RawClient(served.path) as raw:
        raw.send(Submit([request("a")]))
        collect(raw, "a")
        assert not served.client.call(lambda engine: engine.scheduler.cache.page_events.active)


def test_a_paused_engine_sleeps_and_keeps_its_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "IDLE_TURN_S", 0.05)
    with Served() as served, RawClient(served.path) as raw:
        raw.send(Submit([endless("a")]))
        raw.next_of(Outputs)
        assert raw.call("pause", mode="in_place").error is None
        scheduler = served.driver.scheduler
        first = scheduler._last_planned
        time.sleep(0.3)
        assert 1 <= scheduler._last_planned - first < 30
        assert raw.call("resume").error is None
        wait_until(lambda: scheduler._last_planned - first > 50)


def test_deadlines_are_moved_from_their_senders_clock_to_ours() -> None:
    with Served(clock_offset_s=1000.0) as served, RawClient(served.path) as client:
        client.next_of(Ready)
        assert served.driver.now == 0.0
        late = dataclasses.replace(endless("late", 1), deadline_s=-1500.0)
        early = dataclasses.replace(endless("early"), deadline_s=-500.0)
        client.send(Submit([early, late]))
        told: dict[str, int] = {"early": 0, "late": 0}
        ended: list[str] = []
        while not ended or told["early"] < 50:
            batch = client.next_of(Outputs).batch
            for request_id, _ in batch.tokens:
                told[request_id] += 1
            ended += [finish.request_id for finish in batch.finished]
        assert ended == ["late"]


def test_the_engines_end_is_told_to_all_also_to_those_about_to_connect() -> None:
    with (
        Served(is_ready=False) as served,
        RawClient(served.path) as raw,
        RawClient(served.path) as late,
    ):
        served.server.fail("no such model")
        served.server.close()
        assert raw.next() == late.next() == Fatal("no such model")
        assert raw.next() is None and late.next() is None
        served.server.close()


def test_a_fault_of_the_engine_leaves_the_word_to_the_process(served: Served) -> None:
    def break_down(engine: object) -> None:
        raise SystemExit("the device is gone")

    with RawClient(served.path) as raw:
        raw.send(Submit([endless("a")]))
        raw.next_of(Outputs)
        served.client.begin_call(break_down)
        fault = served.client.wait_until_stopped()
        assert isinstance(fault, SystemExit)
        served.server.fail(str(fault))
        assert raw.next_of(Fatal) == Fatal("the device is gone")
        raw.send(Submit([endless("b")]))
        raw.send(Abort(["a"]))
        assert raw.call("stats").is_fault
