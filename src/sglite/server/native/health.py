"""Is it alive, is it ready: answered from what is known, never through the queue.

``/health_generate`` alone asks the engine for a token, as SGLang's does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from sglite.errors import NotReadyError
from sglite.request import FinishReason, SamplingParams
from sglite.server.http.routes import ApiRoute
from sglite.server.http.waiting import collect_or_disconnect

if TYPE_CHECKING:
    from sglite.server.front import Front

GENERATE_TIMEOUT_S = 20.0


def routes(front: Front) -> list[ApiRoute]:
    """``/health`` and its other names, ``/ready``, and ``/health_generate``."""

    async def live(request: Request) -> Response:
        check_live(front)
        return Response()

    async def ready(request: Request) -> Response:
        check_live(front)
        if front.is_draining:
            raise NotReadyError("the server is about to stop", retry_after_s=5.0)
        return Response()

    async def generate(request: Request) -> Response:
        check_live(front)
        try:
            await asyncio.wait_for(_generate_one_token(front, request), GENERATE_TIMEOUT_S)
        except asyncio.TimeoutError:
            raise NotReadyError(f"no token came within {GENERATE_TIMEOUT_S:g} s") from None
        return Response()

    open_routes = {
        "/health": (live, "Whether the engine lives, by its heartbeat"),
        "/health/live": (live, "The same"),
        "/health/ready": (ready, "Whether new requests are taken"),
        "/ready": (ready, "The same"),
        "/ping": (live, "The same as /health"),
    }
    table = [
        ApiRoute(path=path, methods=("GET",), handler=handler, access="open", summary=summary)
        for path, (handler, summary) in open_routes.items()
    ]
    summary = "Whether the engine generates a token"
    probe = ApiRoute(
        path="/health_generate", methods=("GET",), handler=generate, access="user", summary=summary
    )
    return [*table, probe]


def check_live(front: Front) -> None:
    """Raise NotReadyError unless the engine's process lives and its loop turns."""
    engine = front.engine
    if not engine.is_alive:
        message = "no engine runs; all are being started again" if engine.heals else ""
        raise NotReadyError(message or "the engine has stopped")
    age_s = engine.heartbeat_age_s
    limit_s = front.config.watchdog_timeout_s
    if age_s > limit_s:
        raise NotReadyError(f"the engine has not answered for {age_s:.0f} s")


async def _generate_one_token(front: Front, request: Request) -> None:
    sampling = SamplingParams(max_new_tokens=1, temperature=0.0, ignore_eos=True)
    stream = front.answer(front.open_prompt([0], sampling))
    (generation,) = await collect_or_disconnect(request, stream)
    if generation.finish_reason in (FinishReason.ERROR, FinishReason.ABORT):
        raise NotReadyError("the engine did not generate a token")
