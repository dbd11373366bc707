"""Workers for tests: real sockets, answers as SGLang's server documents them, faults on demand.

async with router_with(2) as (router, first, second):
    answer = await router.post("/generate", json={"text": "Hi"})
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from sglite.config import RouterConfig
from sglite.config_shared import ListenOptions
from sglite.router_server.front import RouterFront
from sglite.router_server.launch import build_app
from sglite.server.http.waiting import wait_for_disconnect
from sglite.server.lifecycle import make_server
from tests.server import asgi

EVENTS = [{"text": "a", "meta_info": {"id": "1"}}, {"text": "ab", "meta_info": {"id": "1"}}]
STREAM = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in EVENTS)
DONE = b"data: [DONE]\n\n"


class FakeWorker:
    """One server. ``calls`` has what it got: method, target, headers, body.

    ``status`` is what it answers calls with, ``health`` what it says of itself. While ``gate`` is
    not set, answers do not begin; a stream breaks off after its events where ``breaks`` is set, and
    goes on for ever where ``endless`` is. ``left`` is set when a client has hung up.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls: list[tuple[str, str, dict[str, str], bytes]] = []
        self.status = self.health = 200
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()
        self.left = asyncio.Event()
        self.breaks = self.endless = False
        self.media_type = "text/event-stream"

    async def __aenter__(self) -> FakeWorker:
        config = make_server(ListenOptions(), self).config
        config.load()
        self._connections = ServerState()
        self._server = await asyncio.get_running_loop().create_server(
            lambda: config.http_protocol_class(
                config=config, server_state=self._connections, app_state={}
            ),
            "127.0.0.1",
        )
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.die()

    async def die(self) -> None:
        """Close the address and every connection, as the end of a process does."""
        self._server.close()
        for connection in list(self._connections.connections):
            connection.transport.abort()
        await asyncio.gather(*self._connections.tasks, return_exceptions=True)

    @property
    def paths(self) -> list[str]:
        return [target for _, target, _, _ in self.calls]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if scope["path"] == "/health":
            await Response(status_code=self.health)(scope, receive, send)
            return
        body = await request.body()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        target = scope["path"] + ("?" + query if query else "")
        self.calls.append((scope["method"], target, headers, body))
        self.arrived.set()
        if not await self._may_begin(receive):
            return
        fields = json.loads(body) if body else {}
        if self.status == 200 and isinstance(fields, dict) and fields.get("stream"):
            await self._stream(scope, receive, send)
        else:
            await self._whole(scope["path"])(scope, receive, send)

    async def _may_begin(self, receive: Receive) -> bool:
        """False where the client does not wait for it."""
        gate = asyncio.ensure_future(self.gate.wait())
        left = asyncio.ensure_future(wait_for_disconnect(receive))
        await asyncio.wait({gate, left}, return_when=asyncio.FIRST_COMPLETED)
        if not gate.done():
            self.left.set()
        gate.cancel()
        left.cancel()
        return self.gate.is_set()

    def _whole(self, path: str) -> Response:
        if self.status != 200:
            return JSONResponse({"error": {"message": self.name}}, self.status)
        if path == "/flush_cache":
            return PlainTextResponse("Cache flushed.\n")
        if path == "/get_server_info":
            states = [{"name": self.name}]
            return JSONResponse({"model_path": "m", "api_key": "k", "internal_states": states})
        if path == "/get_load":
            return JSONResponse([{"dp_rank": 0, "num_reqs": 1}])
        return JSONResponse({"text": self.name}, headers={"Server": "x", "X-Own": "1"})

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", self.media_type.encode()), (b"keep-alive", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": STREAM, "more_body": True})
        if self.endless:
            await wait_for_disconnect(receive)
            self.left.set()
        elif self.breaks:
            await asyncio.sleep(0.05)
            scope["state"]["abort_connection"]()
        else:
            await send({"type": "http.response.body", "body": DONE, "more_body": False})


class RouterUnderTest(httpx.AsyncClient):
    """A client of a router in this process; ``app`` and ``front`` are the router's."""

    app: Any
    front: RouterFront


@contextlib.asynccontextmanager
async def router_with(num_workers: int, **options: Any) -> AsyncIterator[Any]:
    """A client of a router before so many workers that are up, and the workers.

    Its workers are looked at only when a test says so. ``peer`` is who calls.
    """
    peer = options.pop("peer", ("127.0.0.1", 1234))
    options.setdefault("routing_policy", "round_robin")
    async with contextlib.AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(FakeWorker(f"w{number}"))
            for number in range(num_workers)
        ]
        config = RouterConfig(workers=" ".join(worker.url for worker in workers), **options)
        front = RouterFront(config)
        stack.push_async_callback(front.close)
        for worker in front.workers.all:
            await front.health.look(worker)
        app = build_app(front)
        router = await stack.enter_async_context(asgi.client(app, peer=peer))
        router.app, router.front = app, front  # type: ignore[attr-defined]
        yield router, *workers
