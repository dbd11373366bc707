"""``/openapi.json``, made from the table of routes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

import sglite
from sglite.server.http.routes import ApiRoute

_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")

ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error", "object", "message", "type", "param", "code"],
    "properties": {
        "error": {"type": "object"},
        "object": {"const": "error"},
        "message": {"type": "string"},
        "type": {"type": "string"},
        "param": {"type": ["string", "null"]},
        "code": {"type": "integer"},
    },
}


def openapi_route(routes: Iterable[ApiRoute]) -> ApiRoute:
    """The route that describes ``routes``."""
    page = msgspec.json.encode(openapi(routes))

    async def get_openapi(request: Request) -> Response:
        return Response(page, media_type="application/json")

    return ApiRoute(
        path="/openapi.json",
        methods=("GET",),
        handler=get_openapi,
        access="user",
        summary="This description of the API",
    )


def openapi(routes: Iterable[ApiRoute]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a table of routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        item = paths.setdefault(_PARAMETER.sub(r"{\1}", route.path), {})
        for method in route.methods:
            item[method.lower()] = _operation(route, method)
    return {
        "openapi": "3.1.0",
        "info": {"title": "sglite", "version": sglite.__version__},
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR_SCHEMA},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: ApiRoute, method: str) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    operation: dict[str, Any] = {
        "summary": route.summary,
        "responses": {
            "200": {"description": "done"},
            "4XX": {"description": "the call cannot be served", "content": error},
            "503": {"description": "not now; Retry-After says when", "content": error},
        },
    }
    if route.access != "open":
        operation["security"] = [{"key": []}, {}]
    names = _PARAMETER.findall(route.path)
    if names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ]
    if route.body is not None and method != "GET":
        operation["requestBody"] = {
            "required": bool(route.body.get("required")),
            "content": {"application/json": {"schema": dict(route.body)}},
        }
    return operation
