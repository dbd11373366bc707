"""One line per request: figures, never what was said, and nobody can forge a line."""

from __future__ import annotations

import io
import json
import logging

import pytest

from sglite.observability.logging import configure_logging
from sglite.request import FinishReason
from sglite.server.telemetry import request_log
from sglite.server.telemetry.request_log import RequestLog
from tests.server.generations import generation


@pytest.fixture(autouse=True)
def log_setup_is_undone():
    logger = logging.getLogger("sglite")
    before = (list(logger.handlers), logger.level, logger.propagate)
    own = request_log.logger.level
    yield
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])
    request_log.logger.setLevel(own)


def test_line_has_the_figures_at_any_log_level():
    stream = io.StringIO()
    configure_logging("error", stream=stream)
    RequestLog().request_finished(generation(), {"request_id": "r1"})
    line = stream.getvalue()
    assert "request_finished request_id=r1 sequence=4c0-0 reason=stop prompt=8 cached=4" in line
    assert "output=5 queue_s=0.01 ttft_s=0.1 tpot_ms=100 e2e_s=0.5 retractions=0" in line
    assert "secret" not in line


def test_what_never_happened_is_left_out():
    stream = io.StringIO()
    configure_logging("info", stream=stream)
    aborted = generation(finish_reason=FinishReason.ABORT, queue_s=None, ttft_s=None)
    RequestLog().request_finished(aborted, {})
    assert "reason=abort" in stream.getvalue()
    assert "queue_s" not in stream.getvalue()


def test_http_call_is_one_line():
    stream = io.StringIO()
    configure_logging("info", stream=stream)
    RequestLog().http_finished("POST", None, 404, 0.25)
    assert "http_finished method=POST endpoint=other status=404 seconds=0.25" in stream.getvalue()


@pytest.mark.parametrize("style", ["text", "json"])
def test_line_breaks_in_a_value_stay_on_the_line(style):
    stream = io.StringIO()
    configure_logging("info", stream=stream, style=style)
    forged = "a\r\n12:00:00 INFO request_finished request_id=b\x1b[2J"
    RequestLog().request_finished(generation(), {"request_id": forged})
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()
    if style == "json":
        assert json.loads(stream.getvalue())["request_id"] == forged


def test_a_flood_is_cut_and_counted(monkeypatch):
    monkeypatch.setattr(request_log, "MAX_LINES_PER_SECOND", 2)
    stream, now_s = io.StringIO(), [50.0]
    configure_logging("info", stream=stream)
    log = RequestLog(clock=lambda: now_s[0])
    for _ in range(5):
        log.request_finished(generation(), {})
    now_s[0] = 51.0
    log.request_finished(generation(), {})
    events = [line.split()[2] for line in stream.getvalue().splitlines()]
    assert events == ["request_finished"] * 2 + ["request_lines_omitted", "request_finished"]
    assert "lines=3" in stream.getvalue()
