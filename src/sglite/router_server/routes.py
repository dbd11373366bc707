"""The routes of the router: calls that one worker answers, and what is asked of the router itself.

SGLang's paths are all here, also those that sglite's server does not have: a worker that lacks one
says so.
"""

from __future__ import annotations

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import Response

from sglite.errors import NotReadyError
from sglite.router_server.everywhere import Everywhere
from sglite.router_server.front import RouterFront
from sglite.router_server.health import LOOKER_HEADER
from sglite.router_server.worker_routes import worker_routes
from sglite.router_server.workers import no_worker
from sglite.server.http.routes import ApiRoute

POST = ("POST",)
GET = ("GET",)
ONE_WORKER: dict[tuple[str, ...], tuple[str, ...]] = {
    ("POST", "PUT"): ("/generate", "/encode", "/classify"),
    POST: (
        "/v1/completions",
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/embeddings",
        "/v1/classify",
        "/v1/score",
        "/v1/rerank",
        "/v1/audio/transcriptions",
        "/tokenize",
        "/detokenize",
        "/v1/tokenize",
        "/v1/detokenize",
        "/parse_function_call",
        "/separate_reasoning",
    ),
    GET: (
        "/v1/models",
        "/v1/models/{model_id:path}",
        "/model_info",
        "/get_model_info",
        "/health_generate",
    ),
}
"""Methods and paths of what any one worker can answer."""


def routes(front: RouterFront) -> list[ApiRoute]:
    """All of them."""
    passed_on = [
        ApiRoute(
            path=path,
            methods=methods,
            handler=front.proxy.pass_on,
            access="user",
            summary="Answered by one of the workers",
        )
        for methods, paths in ONE_WORKER.items()
        for path in paths
    ]
    everywhere = Everywhere(front).routes()
    return [*_health_routes(front), *passed_on, *everywhere, *worker_routes(front)]


def _health_routes(front: RouterFront) -> list[ApiRoute]:
    async def live(request: Request) -> Response:
        return Response()

    async def healthy(request: Request) -> Response:
        if request.headers.get(LOOKER_HEADER) == front.health.looker:
            raise NotReadyError("a router is no worker of its own")
        if not front.workers.up:
            raise no_worker()
        return Response()

    async def ready(request: Request) -> Response:
        if front.is_draining:
            raise no_worker()
        return await healthy(request)

    async def metrics(request: Request) -> Response:
        return Response(front.metrics.to_prometheus(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    open_routes = {
        "/health": (healthy, "Whether a worker takes calls"),
        "/health/live": (live, "Whether the router runs"),
        "/health/ready": (ready, "Whether new calls are taken"),
        "/ready": (ready, "The same"),
        "/ping": (live, "The same as /health/live"),
    }
    table = [
        ApiRoute(path=path, methods=GET, handler=handler, access="open", summary=summary)
        for path, (handler, summary) in open_routes.items()
    ]
    if front.observation.metrics is not None:
        summary = "The router's own metrics in Prometheus' text format"
        table.append(
            ApiRoute(path="/metrics", methods=GET, handler=metrics, access="user", summary=summary)
        )
    return table
