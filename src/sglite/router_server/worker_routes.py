"""Which workers there are: shown, added and removed while the router runs.

``/workers`` and, in the words of SGLang's older router, ``/list_workers``, ``/add_worker?url=`` and
``/remove_worker?url=``. All need control access.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from sglite.errors import ConfigError, RequestError
from sglite.router_server.front import RouterFront, worker_url
from sglite.server.http.body import read_json
from sglite.server.http.error_table import HttpError
from sglite.server.http.routes import ApiRoute, control_routes, json_response

URL_SCHEMA = {"type": "object", "properties": {"url": {"type": "string"}}}


def worker_routes(front: RouterFront) -> list[ApiRoute]:
    """The routes."""
    api = WorkersApi(front)
    return control_routes(
        [
            ("/workers", ("GET",), api.show, "The workers, and how they are", None),
            ("/workers", ("POST",), api.add, "Add a worker", URL_SCHEMA),
            ("/workers", ("DELETE",), api.remove, "Remove a worker", URL_SCHEMA),
            ("/list_workers", ("GET",), api.list_urls, "The URLs of the workers", None),
            ("/add_worker", ("POST",), api.add_by_query, "Add a worker", None),
            ("/remove_worker", ("POST",), api.remove_by_query, "Remove a worker", None),
        ]
    )


class WorkersApi:
    """The handlers."""

    def __init__(self, front: RouterFront) -> None:
        self._front = front

    async def show(self, request: Request) -> Response:
        """``GET /workers``."""
        workers = describe_workers(self._front, with_urls=True)
        waiting = self._front.workers.num_waiting
        return json_response(
            {"workers": workers, "total": len(workers), "num_waiting_requests": waiting}
        )

    async def list_urls(self, request: Request) -> Response:
        """``GET /list_workers``."""
        return json_response({"urls": [worker.url for worker in self._front.workers.all]})

    async def add(self, request: Request) -> Response:
        """``POST /workers`` with ``{"url": ...}``. It takes calls once it is seen to be healthy."""
        url = self._add(await _given_url(request))
        return json_response({"url": url, "message": f"worker {url} is added"})

    async def remove(self, request: Request) -> Response:
        """``DELETE /workers`` with ``{"url": ...}`` or ``?url=``; what runs there ends there."""
        url = self._remove(await _given_url(request))
        return json_response({"url": url, "message": f"worker {url} is removed"})

    async def add_by_query(self, request: Request) -> Response:
        """``POST /add_worker?url=``."""
        return PlainTextResponse(f"Successfully added worker: {self._add(_in_query(request))}")

    async def remove_by_query(self, request: Request) -> Response:
        """``POST /remove_worker?url=``."""
        return PlainTextResponse(f"Successfully removed worker: {self._remove(_in_query(request))}")

    def _add(self, url: str) -> str:
        try:
            return self._front.add_worker(url).url
        except ConfigError as error:
            raise RequestError(str(error), param="url") from error

    def _remove(self, url: str) -> str:
        try:
            worker = self._front.workers.find(worker_url(url))
        except ConfigError as error:
            raise RequestError(str(error), param="url") from error
        if worker is None:
            raise HttpError("there is no such worker", status=404, code="not_found", param="url")
        self._front.workers.remove(worker)
        return worker.url


def describe_workers(front: RouterFront, *, with_urls: bool) -> list[dict[str, Any]]:
    """How each worker is; its address only for those who may know it."""
    loads = front.workers.loads()
    described = []
    for worker in front.workers.all:
        load = loads[worker.number]
        entry: dict[str, Any] = {"id": worker.number}
        if with_urls:
            entry["url"] = worker.url
        entry |= {
            "state": worker.state,
            "is_healthy": worker.state == "up",
            "load": load.num_requests,
            "num_open_tokens": load.num_tokens,
        }
        described.append(entry)
    return described


async def _given_url(request: Request) -> str:
    body = await read_json(request, may_be_empty=True)
    url = body.get("url", request.query_params.get("url"))
    if not isinstance(url, str) or not url:
        raise RequestError("url is missing; give the URL of a worker", param="url")
    return url


def _in_query(request: Request) -> str:
    url = request.query_params.get("url")
    if not url:
        raise RequestError("url is missing; give ?url=URL", param="url")
    return url
