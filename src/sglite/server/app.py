"""The HTTP application: what stands around every call, and which protocols it speaks.

CallBorder      request id, log line, counters
CORSMiddleware  only with --cors-origins
AuthMiddleware  who may pass, by path
Dispatcher      path and method -> handler; exception -> answer
"""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sglite.observability.logging import bound_fields
from sglite.server.http.auth import AuthMiddleware, Keys
from sglite.server.http.dispatch import Dispatcher
from sglite.server.http.openapi import openapi_route
from sglite.server.http.request_ids import settle_request_id
from sglite.server.http.routes import ApiRoute
from sglite.server.telemetry.request_log import RequestLog

if TYPE_CHECKING:
    from sglite.config_shared import ListenOptions
    from sglite.server.front import Front

PROTOCOLS = (
    "native.health",
    "native.generate",
    "openai.completions",
    "openai.chat",
    "openai.models",
    "native.tokenize",
    "native.parse",
    "native.model_info",
    "native.control",
    "native.prefixes",
    "native.metrics",
)
"""Modules of this package with ``routes(front) -> list[ApiRoute]``; a protocol is one line here."""


class HttpMetrics(Protocol):
    """Counts calls."""

    def http_request(self, endpoint: str | None) -> None:
        """A request for a route; ``endpoint`` is its template, None where there is no route."""

    def http_response(self, endpoint: str | None, status: int) -> None:
        """A response was started."""


class Watched(Protocol):
    """Who counts calls, and who logs them; either may be None."""

    @property
    def metrics(self) -> HttpMetrics | None:
        """Who counts."""

    @property
    def log(self) -> RequestLog | None:
        """Who logs."""


class Wrapped(Protocol):
    """What the layers around the routes ask of a front."""

    @property
    def config(self) -> ListenOptions:
        """Origins and time-outs."""

    @property
    def observation(self) -> Watched:
        """Who watches."""

    is_draining: bool


def load_protocols() -> list[ModuleType]:
    """The modules of ``PROTOCOLS``."""
    return [importlib.import_module(f"sglite.server.{name}") for name in PROTOCOLS]


def build_app(front: Front, protocols: Sequence[ModuleType] | None = None) -> ASGIApp:
    """The application that serves ``front`` by these protocols; None: by all of them."""
    modules = load_protocols() if protocols is None else protocols
    routes = [route for module in modules for route in module.routes(front)]
    routes.append(openapi_route(routes))
    keys = Keys.from_options(front.config)
    return wrap(front, routes, keys)


def wrap(front: Wrapped, routes: list[ApiRoute], keys: Keys) -> ASGIApp:
    """The layers around a table of routes."""
    origins = [each.strip() for each in (front.config.cors_origins or "").split(",")]
    origins = [origin for origin in origins if origin]
    app: ASGIApp = Dispatcher(routes, lambda: front.is_draining)
    open_paths = {route.path for route in routes if route.access == "open"}
    app = AuthMiddleware(app, keys=keys, open_paths=open_paths, origins=origins)
    if origins:
        app = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["X-Request-Id", "Retry-After"],
        )
    return CallBorder(app, front)


class CallBorder:
    """Gives every call its id, and tells the counters and the log how it ended."""

    def __init__(self, app: ASGIApp, front: Wrapped) -> None:
        self._app = app
        self._observation = front.observation
        self._settings = {
            "read_timeout_s": front.config.read_timeout_s,
            "stall_timeout_s": front.config.stall_timeout_s,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = settle_request_id(scope)
        scope["state"].update(self._settings)
        started_s = time.monotonic()
        send = functools.partial(self._send, scope, request_id.encode("ascii"), send)
        with bound_fields(request_id=request_id):
            try:
                await self._app(scope, receive, send)
            except ClientDisconnect:
                pass  # nobody is there to be told
            finally:
                self._log(scope, time.monotonic() - started_s)

    async def _send(self, scope: Scope, request_id: bytes, send: Send, message: Message) -> None:
        if message["type"] == "http.response.start":
            state = scope["state"]
            state["has_started"], state["status"] = True, message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", request_id)]
            message = {**message, "headers": headers}
            self._count(state.get("endpoint"), message["status"])
        await send(message)

    def _count(self, endpoint: str | None, status: int) -> None:
        metrics = self._observation.metrics
        if metrics is not None:
            metrics.http_request(endpoint)
            metrics.http_response(endpoint, status)

    def _log(self, scope: Scope, seconds: float) -> None:
        log = self._observation.log
        if log is not None:
            state = scope["state"]
            status = state.get("status", 499)  # the caller left before there was one
            log.http_finished(scope["method"], state.get("endpoint"), status, seconds)
