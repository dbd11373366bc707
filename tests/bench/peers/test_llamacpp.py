"""llama.cpp as a peer, with a stand-in for its server."""

from __future__ import annotations

import sys

import pytest

from sglite.bench.peers import llamacpp
from sglite.bench.peers.llamacpp import Peer, gguf_file

SERVER = """#!{python}
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
words = sys.argv[1:]
if words == ["--version"]:
    sys.exit("version: 7 (abc)")
if "--die" in words:
    sys.exit(5)
asked = []
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(1)
        self.send_response(200 if len(asked) > 2 else 503)
        self.end_headers()
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        count = body["n_predict"]
        self.send_response(200)
        self.end_headers()
        last = dict(tokens=[], stop=True, tokens_predicted=count)
        if body["prompt"] == [13]:
            self.write(dict(error="no room"))
        elif body["stream"]:
            # The last token is part of a letter, and so it is counted but not sent.
            for token in range(count - 1):
                self.write(dict(tokens=[token], stop=False), "data: ")
            self.write(last, "data: ")
        else:
            assert body["ignore_eos"] and body["temperature"] == 0
            self.write(last | dict(tokens=body["prompt"][:1] * count))
    def write(self, value, start=""):
        self.wfile.write((start + json.dumps(value) + "\\n\\n").encode())
    def log_message(self, *_): pass
port = int(words[words.index("--port") + 1])
ThreadingHTTPServer.request_queue_size = 128  # all callers come at once
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "llama-server"
    path.write_text(SERVER.replace("{python}", sys.executable))
    path.chmod(0o755)
    return str(path)


def test_batch_stream_and_end(program):
    peer = Peer("m.gguf", server=program)
    assert peer.version == "llama.cpp version: 7 (abc)"
    assert peer.batch([[[4, 5], 3], [[6], 1]]) == [[4, 4, 4], [6]]
    first_s, seconds, token_ids = peer.stream([4], 3)
    assert token_ids == [0, 1, 0], "as many as the server counted"
    assert 0 < first_s <= seconds
    with pytest.raises(RuntimeError, match="no room"):
        peer.batch([[[13], 1]])
    peer.close()
    assert peer._process.returncode is not None


def test_a_server_that_does_not_come_up_is_said(program, monkeypatch):
    with pytest.raises(RuntimeError, match="ended with code 5"):
        Peer("m.gguf", server=program, flags="--die")
    with pytest.raises(FileNotFoundError, match="no such program"):
        Peer("m.gguf", server=program + "-none")
    monkeypatch.setattr(llamacpp, "START_TIMEOUT_S", 0.0)
    with pytest.raises(RuntimeError, match="not ready within 0 s"):
        Peer("m.gguf", server=program)


def test_the_file_of_a_model():
    assert gguf_file("a/m.gguf", "q8_0") == "a/m.gguf"
    assert gguf_file("a/m/", "bfloat16") == "a/m.bf16.gguf"
    assert gguf_file("a/m", "q4_0") == "a/m.q4_0.gguf"
