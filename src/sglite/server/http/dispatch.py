"""From a path and a method to the handler, and from its exceptions to an answer.

Paths are compared as they stand: no slash is added, no dot resolved. HEAD is served wherever GET
is.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from typing import Any

from starlette.convertors import Convertor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from sglite.errors import SgliteError
from sglite.server.http.error_table import HttpError, error_response
from sglite.server.http.request_ids import request_id_of
from sglite.server.http.routes import ApiRoute

RETRY_AFTER_STOP_S = 5

logger = logging.getLogger(__name__)

Methods = dict[str, ApiRoute]
Template = tuple[re.Pattern[str], dict[str, Convertor[Any]], Methods]


class Dispatcher:
    """Runs the handler of a call. ``is_draining`` is asked before each new piece of work.

    Raises ValueError where two routes have the same path and method.
    """

    def __init__(self, routes: Iterable[ApiRoute], is_draining: Callable[[], bool]) -> None:
        self._is_draining = is_draining
        self._exact: dict[str, Methods] = {}
        for route in routes:
            methods = self._exact.setdefault(route.path, {})
            for method in route.methods:
                if method in methods:
                    raise ValueError(f"{method} {route.path} is routed twice")
                methods[method] = route
        self._templates = [
            _template(path, methods) for path, methods in self._exact.items() if "{" in path
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call. Raises ClientDisconnect where nobody is there any more."""
        request = Request(scope, receive)
        try:
            response = await self._handle(request)
            await response(scope, receive, send)
        except ClientDisconnect:
            raise
        except Exception as error:
            if not isinstance(error, SgliteError):
                logger.exception("call_failed")
            if scope["state"].get("has_started"):
                raise ClientDisconnect from error
            await error_response(error, request_id=request_id_of(request))(scope, receive, send)

    async def _handle(self, request: Request) -> Response:
        scope = request.scope
        methods, scope["path_params"] = self._find(scope["path"])
        method = scope["method"]
        route = methods.get(method) or (methods.get("GET") if method == "HEAD" else None)
        if route is None:
            allowed = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))
            raise HttpError(
                f"this path takes {allowed}",
                status=405,
                code="method_not_allowed",
                headers={"Allow": allowed},
            )
        scope["state"]["endpoint"] = route.path
        scope["state"]["check_access"](route.access)
        if self._is_draining() and route.access == "user" and method not in ("GET", "HEAD"):
            raise _about_to_stop()
        return await route.handler(request)

    def _find(self, path: str) -> tuple[Methods, dict[str, Any]]:
        if path in self._exact and "{" not in path:
            return self._exact[path], {}
        for pattern, convertors, methods in self._templates:
            match = pattern.match(path)
            if match is not None:
                values = match.groupdict().items()
                return methods, {name: convertors[name].convert(text) for name, text in values}
        raise HttpError("there is no such path", status=404, code="not_found")


def _template(path: str, methods: Methods) -> Template:
    pattern, _, convertors = compile_path(path)
    return pattern, convertors, methods


def _about_to_stop() -> HttpError:
    return HttpError(
        "the server is about to stop and takes no new requests",
        status=503,
        code="shutting_down",
        headers={"Connection": "close", "Retry-After": str(RETRY_AFTER_STOP_S)},
    )
