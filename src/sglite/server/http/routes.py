"""One row per route: where it is, who may call it, what handles it.

Each protocol is a module with a function ``routes(front) -> list[ApiRoute]``; a further protocol is
one more such module and its line in ``app``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

Handler = Callable[[Request], Awaitable[Response]]
Access = Literal["open", "user", "control"]
"""``open``: no key ever. ``user``: a key where keys are configured. ``control``: the admin key
where one is configured, otherwise from loopback only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRoute:
    """A path, its methods, and who may call them. ``access`` has no default: it must be decided.

    ``summary`` and ``body`` (a JSON schema, None where there is none) are shown in /openapi.json.
    """

    path: str
    methods: tuple[str, ...]
    handler: Handler
    access: Access
    summary: str
    body: Mapping[str, Any] | None = None


ControlRow = tuple[str, tuple[str, ...], Handler, str, Mapping[str, Any] | None]
"""Path, methods, handler, summary and body of a route with control access."""


def control_routes(rows: Iterable[ControlRow]) -> list[ApiRoute]:
    """Routes of an operator, one per row."""
    return [
        ApiRoute(
            path=path,
            methods=methods,
            handler=handler,
            access="control",
            summary=summary,
            body=body,
        )
        for path, methods, handler, summary, body in rows
    ]


def json_response(value: object) -> Response:
    """A 200 with ``value`` as JSON."""
    return Response(msgspec.json.encode(value), media_type="application/json")
