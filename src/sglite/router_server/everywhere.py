"""Calls that go to all workers at once: control, aborts, and what they say of themselves."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

import sglite
from sglite.router_server.front import RouterFront
from sglite.router_server.headers import value_of
from sglite.router_server.proxy import target_of
from sglite.router_server.worker_client import SmallAnswer, WorkerCall, WorkerLostError
from sglite.router_server.worker_routes import describe_workers
from sglite.router_server.workers import Worker, no_worker
from sglite.server.http.body import BodyError, parse_object, read_body
from sglite.server.http.error_table import HttpError
from sglite.server.http.routes import ApiRoute, control_routes, json_response
from sglite.server.http.waiting import finish_or_disconnect

ANSWER_TIMEOUT_S = 660.0
"""Flushing may wait for up to ten minutes."""
INFO_TIMEOUT_S = 5.0
SECRETS = ("api_key", "keyfile", "key_file", "launch_command")
"""Parts of names of options that SGLang's server_info shows and nobody need see."""

_BOTH, _POST, _GET = ("GET", "POST"), ("POST",), ("GET",)


class Everywhere:
    """The handlers."""

    def __init__(self, front: RouterFront) -> None:
        self._front = front

    def routes(self) -> list[ApiRoute]:
        """Where they are."""
        control = {
            "/flush_cache": (_BOTH, "Forget every prefix, on all workers"),
            "/pause_generation": (_POST, "Stop generating on all workers"),
            "/continue_generation": (_POST, "Go on on all workers"),
            "/start_profile": (_BOTH, "Trace steps on all workers"),
            "/stop_profile": (_BOTH, "Write the traces"),
            "/prefix": (("GET", "POST", "PUT", "DELETE"), "Pinned prefixes, on all workers"),
            "/prefix/{name}": (("DELETE",), "Let a prefix be evicted again, on all workers"),
        }
        rows = [
            (path, methods, self.control, summary, None)
            for path, (methods, summary) in control.items()
        ]
        user = {
            "/abort_request": (_POST, self.abort_request, "End a request, wherever it is"),
            "/server_info": (_GET, self.server_info, "The workers and their options"),
            "/get_server_info": (_GET, self.server_info, "The same"),
            "/get_load": (_GET, self.get_load, "How busy the workers are, in SGLang's older words"),
        }
        table = [
            ApiRoute(path=path, methods=methods, handler=handler, access="user", summary=summary)
            for path, (methods, handler, summary) in user.items()
        ]
        return [*control_routes(rows), *table]

    async def control(self, request: Request) -> Response:
        """Every worker does it; the answer is one that failed, if any, otherwise the first."""
        body = await read_body(request)
        return await self._ask_all(request, body, self._front.worker_keys.admin)

    async def abort_request(self, request: Request) -> Response:
        """``/abort_request``: with ``abort_all`` for those who may control."""
        body = await read_body(request)
        if _wants_all(body):
            request.scope["state"]["check_access"]("control")
            return await self._ask_all(request, body, self._front.worker_keys.admin)
        return await self._ask_all(request, body, self._key(request))

    async def server_info(self, request: Request) -> Response:
        """``/server_info``: the first worker's, with the states of all, and the router's own."""
        found = await self._ask_each(request, "/get_server_info")
        infos = [_checked_info(info) for info in found if isinstance(info, dict)]
        first = infos[0] if infos else {}
        return json_response(
            {
                **first,
                "internal_states": [each for info in infos for each in info["internal_states"]],
                "workers": describe_workers(self._front, with_urls=False),
                "routing_policy": self._front.config.routing_policy,
                "router_version": sglite.__version__,
            }
        )

    async def get_load(self, request: Request) -> Response:
        """``/get_load``: the entries of all workers, one after another."""
        found = await self._ask_each(request, "/get_load")
        lists = [entries for entries in found if isinstance(entries, list)]
        return json_response([entry for entries in lists for entry in entries])

    async def _ask_each(self, request: Request, path: str) -> list[Any]:
        """The JSON that each worker answers with; None for one that has none."""
        call = WorkerCall("GET", path, _headers(request, self._key(request)))
        asked = [self._try_json(worker, call) for worker in self._front.workers.up]
        return list(await asyncio.gather(*asked))

    async def _try_json(self, worker: Worker, call: WorkerCall) -> Any:
        try:
            answer = await self._front.client.ask(worker.url, call, timeout_s=INFO_TIMEOUT_S)
            return msgspec.json.decode(answer.body) if answer.status == 200 else None
        except (WorkerLostError, msgspec.DecodeError):
            return None

    async def _ask_all(self, request: Request, body: bytes, key: bytes | None) -> Response:
        workers = self._front.workers.up
        if not workers:
            raise no_worker()
        headers = _headers(request, key)
        call = WorkerCall(request.method, target_of(request), headers, body)
        asked = [
            self._front.client.ask(worker.url, call, timeout_s=ANSWER_TIMEOUT_S)
            for worker in workers
        ]
        answers = await finish_or_disconnect(
            request.receive, _gather([asyncio.ensure_future(each) for each in asked])
        )
        lost = [answer for answer in answers if isinstance(answer, BaseException)]
        if lost:
            raise HttpError(
                f"{len(lost)} of {len(answers)} workers failed; those that remain have done it",
                status=503,
                code="worker_lost",
            ) from lost[0]
        whole = [answer for answer in answers if isinstance(answer, SmallAnswer)]
        shown = next((answer for answer in whole if answer.status >= 400), whole[0])
        kind = value_of(shown.headers, b"content-type")
        media_type = None if kind is None else kind.decode("latin-1")
        return Response(
            shown.body, shown.status, {} if media_type is None else {"Content-Type": media_type}
        )

    def _key(self, request: Request) -> bytes | None:
        given = value_of(request.scope["headers"], b"authorization")
        return self._front.worker_keys.for_call(given)


async def _gather(
    asked: list[asyncio.Future[SmallAnswer]],
) -> list[SmallAnswer | BaseException]:
    return await asyncio.gather(*asked, return_exceptions=True)


def _headers(request: Request, key: bytes | None) -> list[tuple[bytes, bytes]]:
    kind = value_of(request.scope["headers"], b"content-type")
    headers = [] if kind is None else [(b"content-type", kind)]
    return headers if key is None else [*headers, (b"authorization", key)]


def _checked_info(info: dict[str, Any]) -> dict[str, Any]:
    """What a worker says of itself, without what nobody need see."""
    shown = {key: value for key, value in info.items() if not any(each in key for each in SECRETS)}
    if not isinstance(shown.get("internal_states"), list):
        shown["internal_states"] = []
    return shown


def _wants_all(body: bytes) -> bool:
    """Whether ``abort_all`` says anything but no."""
    try:
        return bool(parse_object(body).get("abort_all"))
    except BodyError:
        return False
