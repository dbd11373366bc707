"""Which session a call belongs to."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request

from sglite.errors import RequestError
from sglite.server.app import build_app
from sglite.server.http.sessions import read_session
from sglite.server.native import generate
from sglite.server.openai import chat, completions
from tests.server.asgi import client
from tests.server.fake_engine import make_front


def call(header=None):
    headers = [] if header is None else [(b"x-session-id", header.encode())]
    return Request({"type": "http", "headers": headers})


@pytest.mark.parametrize(
    ("header", "body", "session"),
    [
        (None, None, None),
        (None, {"user": "ann"}, "ann"),
        ("s1", {"user": "ann"}, "s1"),
        ("", {"user": "ann"}, "ann"),
        (None, {"user": ""}, None),
        (None, {"user": None}, None),
        (None, {"user": "u" * 300}, "u" * 256),
        ("s" * 256, None, "s" * 256),
    ],
)
def test_the_header_comes_before_the_user(header, body, session):
    assert read_session(call(header), body) == session


def test_a_header_that_is_too_long_is_refused():
    with pytest.raises(RequestError, match="x-session-id"):
        read_session(call("s" * 257))


def test_every_route_hands_the_session_to_the_engine():
    bodies = {
        "/generate": {"text": "a", "sampling_params": {"max_new_tokens": 1}},
        "/v1/completions": {"prompt": "a", "max_tokens": 1},
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1},
    }

    async def main():
        front = make_front()
        async with client(build_app(front, [generate, chat, completions])) as http:
            for path, body in bodies.items():
                await http.post(path, json=body, headers={"X-Session-Id": path})
            lines = {"prompt": "a", "max_new_tokens": 1}
            await http.post("/generate", json=lines, headers={"X-Session-Id": "lines"})
            await http.post("/v1/completions", json={**bodies["/v1/completions"], "user": "ann"})
        return [request.session for request in front.engine.requests]

    assert asyncio.run(main()) == [*bodies, "lines", "ann"]
