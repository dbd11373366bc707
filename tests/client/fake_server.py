"""A server in a thread that answers what it is told to, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODELS = {"object": "list", "data": [{"id": "tiny", "object": "model"}]}


class PatientServer(ThreadingHTTPServer):
    """Keeps as many callers waiting as come at once; the library's five resets the others."""

    request_queue_size = 128


@dataclass
class Reply:
    """``body`` is sent as JSON; ``events`` as a stream of server-sent events, in chunks."""

    body: Any = None
    events: list[Any] | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ends_with_done: bool = True
    raw: bytes | None = None


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


class FakeServer:
    """``replies`` maps a path to a Reply, or to a function from the asked to one."""

    def __init__(self, **replies: Reply) -> None:
        self.replies: dict[str, Reply | Callable[[Asked], Reply]] = {
            "/v1/models": Reply(MODELS),
            **replies,
        }
        self.asked: list[Asked] = []
        self.num_hung_up = 0
        self._server = PatientServer(("127.0.0.1", 0), self._handler_class())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> FakeServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def bodies(self, path: str) -> list[Any]:
        """What was posted there."""
        return [asked.body for asked in self.asked if asked.path == path]

    def reply_to(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        reply = self.replies.get(asked.path)
        if reply is None:
            return Reply({"error": {"message": f"no route {asked.path}"}}, status=404)
        return reply(asked) if callable(reply) else reply

    def _handler_class(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self.answer()

            def do_POST(self) -> None:
                self.answer()

            def answer(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                content = self.rfile.read(length)
                body = json.loads(content) if content else None
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = server.reply_to(Asked(self.command, self.path, headers, body))
                try:
                    self.send(reply)
                except (BrokenPipeError, ConnectionResetError):
                    server.num_hung_up += 1
                    self.close_connection = True

            def send(self, reply: Reply) -> None:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.events is None:
                    content = json.dumps(reply.body).encode() if reply.raw is None else reply.raw
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                    return
                self.send_header("Content-Type", "text/event-stream; charset=utf-8")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for piece in pieces(reply):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_: Any) -> None:
                """Tests are silent."""

        return Handler


def pieces(reply: Reply) -> Iterator[bytes]:
    """One chunk per event; an event of bytes is sent as it is, a callable is called instead."""
    for event in reply.events or ():
        if callable(event):
            event()
            continue
        yield (
            event if isinstance(event, bytes) else b"data: " + json.dumps(event).encode() + b"\n\n"
        )
    if reply.ends_with_done:
        yield b"data: [DONE]\n\n"


def chat_events(*texts: str, reason: str = "stop", reasoning: tuple[str, ...] = ()) -> list[Any]:
    """The events of a chat completion, its usage at the end."""
    deltas = [
        {"role": "assistant", "content": ""},
        *({"reasoning_content": text} for text in reasoning),
        *({"content": text} for text in texts),
    ]
    events: list[Any] = [
        {"id": "c1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    last = {"index": 0, "delta": {}, "finish_reason": reason, "matched_stop": 2}
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": len(texts) + len(reasoning),
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    return [*events, {"id": "c1", "choices": [last]}, {"id": "c1", "choices": [], "usage": usage}]


def completion_events(*texts: str, num_choices: int = 1) -> list[Any]:
    """The events of a completion with ``num_choices`` equal answers."""
    indices = range(num_choices)
    events: list[Any] = [
        {"id": "t1", "choices": [{"index": index, "text": text, "finish_reason": None}]}
        for text in texts
        for index in indices
    ]
    ends = [{"index": index, "text": "", "finish_reason": "length"} for index in indices]
    return [*events, *({"id": "t1", "choices": [end]} for end in ends)]
