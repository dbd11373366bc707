"""An observer tells metrics and log what arrived, and nothing watches where both are off."""

from __future__ import annotations

from sglite.observability.logging import bound_fields
from sglite.server.telemetry.metrics import ServerMetrics
from sglite.server.telemetry.observation import Observation
from tests.server.generations import chunk, generation


class FakeLog:
    def __init__(self):
        self.lines = []

    def request_finished(self, finished, fields):
        self.lines.append((finished.index, dict(fields)))


def test_gaps_are_those_of_each_sequence():
    metrics, now_s = ServerMetrics("tiny", []), [10.0]
    observer = Observation(metrics, clock=lambda: now_s[0]).open_call()
    observer.delivered([chunk(1), chunk(2, index=1)])
    now_s[0] = 10.5
    observer.delivered([chunk(3, 4)])
    now_s[0] = 11.0
    observer.delivered([chunk(5, index=1, finished=generation(index=1)), chunk()])
    flat = metrics.to_dict()
    assert flat["inter_token_latency_seconds_count"] == 3
    assert flat["inter_token_latency_seconds_sum"] == 1.5
    assert flat["num_requests_total"] == 1


def test_lines_carry_what_was_bound_when_the_call_began():
    log = FakeLog()
    with bound_fields(request_id="r7"):
        observer = Observation(log=log).open_call()
    observer.delivered([chunk(1, finished=generation())])
    observer.delivered([chunk(1, index=1, finished=generation(index=1))])
    assert log.lines == [(0, {"request_id": "r7"}), (1, {"request_id": "r7"})]


def test_nobody_watches_where_both_are_off():
    assert Observation().open_call() is None
