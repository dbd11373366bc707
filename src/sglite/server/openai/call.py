"""The way of a checked call: submitted, watched, answered as a stream or as one body."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sglite.errors import RequestError
from sglite.generation import Generation, OpenGeneration
from sglite.server.front import Front
from sglite.server.http.body import read_json
from sglite.server.http.field_policy import check_fields
from sglite.server.http.sse import EventStreamResponse
from sglite.server.http.waiting import collect_or_disconnect
from sglite.server.openai.options import CallOptions, openai_names
from sglite.server.openai.stream import CallEvents, encode_json, event_batches
from sglite.server.openai.usage import UsageMeter

JsonObject = dict[str, Any]


async def read_body(
    request: Request, known: Collection[str], unsupported: Mapping[str, Any]
) -> tuple[JsonObject, list[str]]:
    """The body, and the names of its fields that are ignored. Raises BodyError, RequestError."""
    body = await read_json(request)
    return body, check_fields(request, body, known=known, unsupported=unsupported)


def check_num_answers(front: Front, num_answers: int) -> None:
    """Raise RequestError for a call that could not be queued even if it were alone."""
    limit = front.config.max_queued_requests + front.config.max_running_requests
    if num_answers > limit:
        raise RequestError(
            f"the call asks for {num_answers:,} answers (prompts x n); this server queues at most "
            f"{limit:,} requests. Send fewer at once.",
            param="n",
        )


async def answer_call(
    front: Front,
    request: Request,
    options: CallOptions,
    opened: list[OpenGeneration],
    *,
    events: Callable[[], CallEvents],
    whole: Callable[[list[Generation]], Awaitable[Response]],
) -> Response:
    """Submit the requests and answer as the call wants it.

    While the call is open, its id stands for its requests (``/abort_request``). Raises what the
    engine's client raises, HttpError for a request that failed, ClientDisconnect.
    """
    stream = front.answer(opened)
    names = [(options.response_id, each.request.request_id) for each in opened]
    front.open_calls.add(names)

    def close() -> None:
        stream.close()
        front.open_calls.remove(names)

    if options.stream:
        return EventStreamResponse(_named(options, event_batches(stream, events())), close)
    try:
        with openai_names(options):
            done = await collect_or_disconnect(request, stream)
    finally:
        close()
    return await whole(done)


async def _named(options: CallOptions, batches: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same batches; errors of the engine, which refuses grammars, have OpenAI's names."""
    with openai_names(options):
        async for batch in batches:
            yield batch


def json_answer(
    options: CallOptions,
    object_name: str,
    choices: Sequence[JsonObject],
    meter: UsageMeter,
    done: Sequence[Generation],
) -> Response:
    """One body with all answers."""
    meter.add(sum(len(each.token_ids) for each in done))
    body = options.header(object_name)
    body["choices"] = choices
    body["usage"] = meter.to_openai()
    body["metadata"] = {"weight_version": "default"}
    if options.cache_details:
        body["sglext"] = meter.cache_details()
    if options.ignored_fields:
        body["ignored_fields"] = list(options.ignored_fields)
    return Response(encode_json(body), media_type="application/json")
