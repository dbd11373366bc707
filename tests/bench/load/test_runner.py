"""Users wait, arrivals do not; every call ends in a result, and tokens are timed as they came."""

from __future__ import annotations

import asyncio
import json

import pytest

from sglite.bench.load.dialects import DIALECTS
from sglite.bench.load.figures import CallResult
from sglite.bench.load.runner import Load, Pace, Progress, arrival_times
from sglite.bench.load.wire import Target
from sglite.bench.load.workload import Session, Turn
from sglite.errors import RemoteError
from tests.client.fake_server import FakeServer, Reply, chat_events, completion_events


class FakeTarget:
    """Answers with one token once ``opens`` calls have been open together, and counts them."""

    def __init__(self, *, delay_s=0.0, opens=0):
        self.delay_s = delay_s
        self.opens = opens
        self.num_open = self.most_open = 0
        self.bodies = []

    async def post_events(self, path, body):
        self.bodies.append(body)
        self.num_open += 1
        self.most_open = max(self.most_open, self.num_open)
        try:
            await asyncio.sleep(self.delay_s)
            while self.most_open < self.opens:
                await asyncio.sleep(0.001)
            end = {"choices": [{"text": "x", "finish_reason": "length"}]}
            yield [json.dumps(end), "[DONE]"]
        finally:
            self.num_open -= 1


def sessions(count, *, num_turns=1):
    return [Session((Turn("q", 4),) * num_turns) for _ in range(count)]


def run(load, sessions, **pace):
    return asyncio.run(load.run(sessions, Pace(**pace)))


def test_users_never_exceed_their_number():
    target = FakeTarget()
    results = run(Load(target, DIALECTS["openai"]), sessions(20), concurrency=3)
    assert len(results) == 20
    assert target.most_open == 3
    assert all(result.error is None for result in results)


def test_arrivals_do_not_wait_for_answers_unless_bounded():
    target = FakeTarget(opens=20)
    run(Load(target, DIALECTS["openai"]), sessions(20), request_rate=10_000.0)
    assert target.most_open == 20
    bounded = FakeTarget(opens=4)
    run(Load(bounded, DIALECTS["openai"]), sessions(20), request_rate=10_000.0, concurrency=4)
    assert bounded.most_open == 4


def test_arrivals_are_poisson_or_the_traces_or_the_users():
    many = sessions(2000)
    times = arrival_times(many, Pace(request_rate=50.0, seed=1))
    assert times[0] == 0
    assert times == sorted(times)
    assert times[-1] == pytest.approx(40, rel=0.1)
    assert times == arrival_times(many, Pace(request_rate=50.0, seed=1))
    assert times != arrival_times(many, Pace(request_rate=50.0, seed=2))
    traced = [Session((Turn("q", 1),), 0.5), Session((Turn("q", 1),), 2.0)]
    assert arrival_times(traced, Pace()) == [0.5, 2.0]
    assert arrival_times(traced, Pace(concurrency=2)) is None
    assert arrival_times(many, Pace(concurrency=2)) is None


def test_turns_of_a_session_carry_what_was_said():
    target = FakeTarget()
    load = Load(target, DIALECTS["openai-chat"])
    results = run(load, sessions(1, num_turns=3), concurrency=1)
    assert len(results) == 3
    contents = [each["content"] for each in target.bodies[2]["messages"]]
    assert contents == ["q", "x", "q", "x", "q"]


def test_a_failed_turn_ends_its_session_alone():
    with FakeServer(**{"/v1/completions": Reply({"error": "no"}, status=500)}) as server:
        load = Load(Target(server.url), DIALECTS["openai"])
        results = run(load, sessions(2, num_turns=3), concurrency=1)
    assert len(results) == 2
    assert all("answered 500: no" in result.error for result in results)


def test_a_call_that_takes_too_long_is_a_failure():
    load = Load(FakeTarget(delay_s=30), DIALECTS["openai"], timeout_s=0.01)
    (result,) = run(load, sessions(1), concurrency=1)
    assert result.error == "no end within 0.01 s"
    assert result.ended_s > result.started_s


@pytest.mark.parametrize(
    ("dialect", "path", "events", "num_tokens"),
    [
        ("openai", "/v1/completions", completion_events("a", "b", "c"), 3),
        ("openai-chat", "/v1/chat/completions", chat_events("a", "b"), 2),
    ],
)
def test_a_real_stream_is_measured_through_the_socket(dialect, path, events, num_tokens):
    seen = []
    with FakeServer(**{path: Reply(events=events)}) as server:
        load = Load(Target(server.url), DIALECTS[dialect], extra_body={"x": 1})
        load.on_result = seen.append
        (result,) = run(load, sessions(1), concurrency=1)
    assert result.error is None
    assert result.num_tokens == num_tokens
    assert 0 < result.ttft_s <= result.e2e_s
    assert seen == [result]
    assert server.bodies(path)[0]["x"] == 1


def timed(dialect, *events):
    """The result of a call whose events come at these moments: ``(seconds, event)``."""
    result = CallResult(started_s=10.0)
    progress = Progress(result, DIALECTS[dialect])
    for now_s, event in events:
        progress.take(json.dumps(event), 10.0 + now_s)
    progress.finish()
    return result


def native(text, count, finish=None):
    meta = {"completion_tokens": count, "prompt_tokens": 3, "finish_reason": finish}
    return {"text": text, "meta_info": meta}


def test_native_events_with_several_tokens_share_their_gap():
    result = timed(
        "sglang",
        (1.0, native("", 1)),
        (2.0, native("ab", 2)),
        (5.0, native("abcd", 5)),
        (6.0, native("abcd", 5)),
        (7.0, native("abcde", 6, {"type": "length"})),
    )
    assert result.ttft_s == 2.0, "the first text, not the first event"
    assert result.gaps_s == [1.0, 1.0, 1.0, 2.0], "an event without a token is no token"
    assert result.num_tokens == 6
    assert result.text == "abcde"
    assert result.e2e_s == 7.0


def test_openai_pieces_are_tokens_until_usage_says_otherwise():
    events = completion_events("a", "b", "c")
    usage = {"choices": [], "usage": {"completion_tokens": 7, "prompt_tokens": 2}}
    result = timed("openai", *enumerate([*events, usage], start=1))
    assert result.gaps_s == [1, 1]
    assert result.num_tokens == 7
    assert result.num_prompt_tokens == 2
    assert result.e2e_s == 3.0, "to the last text, not to the usage"


def test_an_answer_without_text_succeeds_without_latencies():
    result = timed("openai", (1.0, {"choices": [{"text": "", "finish_reason": "stop"}]}))
    assert result.ttft_s is None
    assert result.e2e_s >= 0


def test_a_stream_without_an_end_is_a_failure():
    with pytest.raises(RemoteError, match="ended before the answer"):
        timed("openai", (1.0, {"choices": [{"text": "a"}]}))


@pytest.mark.parametrize("data", ["{", "[]", "3", '{"choices": 3}'])
def test_nonsense_is_named(data):
    with pytest.raises(RemoteError, match="not an event of openai"):
        Progress(CallResult(0.0), DIALECTS["openai"]).take(data, 1.0)
