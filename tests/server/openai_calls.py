"""Calls of the OpenAI routes over an engine that answers from a script."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from sglite.server.app import build_app
from sglite.server.front import Front
from sglite.server.openai import chat as openai_chat
from sglite.server.openai import completions as openai_completions
from sglite.server.openai import models as openai_models
from tests.server.asgi import client
from tests.server.fake_engine import make_front

PROTOCOLS = [openai_chat, openai_completions, openai_models]
COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "Hi"}]

Use = Callable[[httpx.AsyncClient, Front], Awaitable[Any]]
Prepare = Callable[[Front], None]


def with_server(use: Use, **options: Any) -> Any:
    """What ``use`` returns, given a client and the front of a server with these options."""

    async def run() -> Any:
        front = make_front(**options)
        async with client(build_app(front, PROTOCOLS)) as http:
            return await use(http, front)

    return asyncio.run(run())


def post(
    path: str,
    body: dict[str, Any],
    prepare: Prepare | None = None,
    headers: dict[str, str] | None = None,
    **options: Any,
) -> httpx.Response:
    """The answer to one call; ``prepare`` may script the engine first."""

    async def use(http: httpx.AsyncClient, front: Front) -> httpx.Response:
        if prepare is not None:
            prepare(front)
        return await http.post(path, json=body, headers=headers)

    answer = with_server(use, **options)
    assert isinstance(answer, httpx.Response)
    return answer


def complete(body: dict[str, Any], prepare: Prepare | None = None, **options: Any) -> Any:
    """The JSON of a completion that works."""
    answer = post(COMPLETIONS, {"prompt": "hello", **body}, prepare, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def chat(body: dict[str, Any], prepare: Prepare | None = None, **options: Any) -> Any:
    """The JSON of a chat that works."""
    answer = post(CHAT, {"messages": USER, **body}, prepare, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(path: str, body: dict[str, Any], status: int = 400, **options: Any) -> Any:
    """The error of a call that is refused; both of its shapes agree."""
    prompt = {"prompt": "hello"} if path == COMPLETIONS else {"messages": USER}
    answer = post(path, {**prompt, **body}, **options)
    assert answer.status_code == status, answer.text
    error = answer.json()
    assert error["object"] == "error" and error["code"] == status
    assert error["message"] == error["error"]["message"]
    assert error["param"] == error["error"]["param"]
    return error["error"]


def hello_world(front: Front) -> None:
    """The prompt ``hello`` is answered by `` world wide`` and EOS."""
    front.engine.script("hello", " world wide")
