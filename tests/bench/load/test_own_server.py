"""A server of our own is ready when it is handed out, and gone afterwards."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sglite.bench.load import own_server as module
from sglite.bench.load.own_server import free_port, own_server, wait_until_ready
from sglite.client.http import HttpClient
from sglite.errors import RemoteError

# Refuses twice, as a server that still loads does, then answers; flags stand in its model's name.
SCRIPT = """
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
asked = []
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(self.path)
        body = json.dumps({"data": [{"id": " ".join(sys.argv[1:-2])}]}).encode()
        self.send_response(200 if len(asked) > 2 else 503)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
HTTPServer(("127.0.0.1", int(sys.argv[-1])), Handler).serve_forever()
"""


def test_server_is_ready_gets_its_flags_and_ends(monkeypatch):
    monkeypatch.setattr(module, "POLL_S", 0.01)
    with own_server(["--page-size", "4"], command=[sys.executable, "-c", SCRIPT]) as url:
        http = HttpClient(url)
        assert http.get_json("/v1/models")["data"][0]["id"] == "--page-size 4"
    with pytest.raises(RemoteError):
        http.get_json("/v1/models")


def test_a_server_that_ends_is_said_with_its_code():
    with (
        pytest.raises(RemoteError, match="ended with code 2"),
        own_server([], command=[sys.executable, "-c", "import sys; sys.exit(2)"]),
    ):
        pass


def test_waiting_has_an_end(monkeypatch):
    monkeypatch.setattr(module, "POLL_S", 0.01)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with pytest.raises(RemoteError, match="not ready within"):
            wait_until_ready(f"http://127.0.0.1:{free_port()}", process, timeout_s=0.05)
    finally:
        module.stop(process)
    assert process.returncode is not None


def test_a_server_that_will_not_end_is_killed(monkeypatch):
    monkeypatch.setattr(module, "STOP_TIMEOUT_S", 0.05)
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", script + "; time.sleep(60)"], stdout=subprocess.PIPE
    )
    with process.stdout:
        process.stdout.readline()
    module.stop(process)
    assert process.returncode == -9
