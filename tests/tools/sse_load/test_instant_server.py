"""A server over an engine that computes nothing: every answer repeats its prompt's last token."""

from __future__ import annotations

import shutil
import sys

import pytest

from tests.server.live import live_server
from tools.sse_load.run import Load, completion_body, run_load

MODULE = "tools.sse_load.instant_server"
NUM_TOKENS = 40


@pytest.mark.skipif(shutil.which("cc") is None or sys.platform != "linux", reason="needs cc, Linux")
def test_each_token_of_each_stream_is_one_event(tmp_path):
    with live_server(directory=tmp_path, command=MODULE) as server:
        body = completion_body(NUM_TOKENS, "Hello a b")
        with server.client() as http:
            answer = http.post("/v1/completions", json={**body, "stream": False}).json()
        assert answer["choices"][0]["text"] == " b" * NUM_TOKENS
        assert answer["usage"]["completion_tokens"] == NUM_TOKENS
        figures = run_load(Load(url=server.url, body=body, streams=8, seconds=1.0))
    assert figures["errors"] == 0 and figures["requests"] > 8
    assert figures["events_per_answer"] == NUM_TOKENS
