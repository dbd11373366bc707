"""SGLang's own API: ``/generate`` and ``/abort_request``.

    body ──read_call()──▶ NativeCall ──encode_prompts(), open_call()──▶ OpenCall
         ──front.answer()──▶ chunks ──take_events()──▶ events of a stream, or one JSON body

A body with ``prompt`` is another dialect: :mod:`sglite.server.native.streaming_dialect`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from sglite.request import FinishReason
from sglite.server.http.body import read_json
from sglite.server.http.error_table import HttpError
from sglite.server.http.field_policy import check_fields
from sglite.server.http.routes import ApiRoute
from sglite.server.http.sessions import read_session
from sglite.server.http.sse import DONE, EventStreamResponse
from sglite.server.http.waiting import collect_or_disconnect
from sglite.server.native import streaming_dialect
from sglite.server.native.fields import KNOWN, PROMPTS, SCHEMA, UNSUPPORTED
from sglite.server.native.opening import OpenCall, open_call
from sglite.server.native.request import read_call
from sglite.server.native.stream import JsonObject, encode_json
from sglite.server.prompt_encoding import encode_prompts
from sglite.validation.fields import boolean, string

if TYPE_CHECKING:
    from sglite.server.answer_stream import AnswerStream
    from sglite.server.front import Front

MAX_REQUEST_ID_CHARACTERS = 512


def routes(front: Front) -> list[ApiRoute]:
    """The routes of this module."""
    api = NativeApi(front)
    return [
        ApiRoute(
            path="/generate",
            methods=("POST", "PUT"),
            handler=api.generate,
            access="user",
            summary="Complete text or token ids, one prompt or a batch, streaming or not",
            body=SCHEMA,
        ),
        ApiRoute(
            path="/abort_request",
            methods=("POST",),
            handler=api.abort_request,
            access="user",
            summary="End the requests of exactly this id; all of them with control access",
            body={
                "type": "object",
                "properties": {"rid": {"type": "string"}, "abort_all": {"type": "boolean"}},
            },
        ),
    ]


class NativeApi:
    """The handlers."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def generate(self, request: Request) -> Response:
        """``/generate``. Raises what the error table knows."""
        body = await read_json(request)
        if "prompt" in body and all(body.get(name) is None for name in PROMPTS):
            return await streaming_dialect.generate(self._front, request, body)
        ignored = check_fields(request, body, known=KNOWN, unsupported=UNSUPPORTED)
        opened = await self._open(body, ignored, read_session(request))
        stream = self._front.answer(opened.opened)
        self._front.open_calls.add(opened.names)
        if opened.call.stream:
            return EventStreamResponse(_events(stream, opened), self._closer(stream, opened))
        try:
            done = await collect_or_disconnect(request, stream)
        finally:
            self._front.open_calls.remove(opened.names)
        if not opened.call.is_list and done[0].finish_reason is FinishReason.ERROR:
            raise HttpError(done[0].message or "the request failed", status=500)
        answers = opened.whole(done)
        whole = answers if opened.call.is_list else answers[0]
        return Response(encode_json(whole), media_type="application/json")

    async def abort_request(self, request: Request) -> Response:
        """``/abort_request``. An unknown id is no error, and an empty one means nothing."""
        body = await read_json(request, may_be_empty=True)
        abort_all = body.get("abort_all")
        if abort_all is not None and boolean("abort_all", abort_all):
            request.scope["state"]["check_access"]("control")
            await self._front.engine.control("abort_all")
            return Response()
        rid = body.get("rid")
        if rid is None or rid == "":
            return Response()
        name = string("rid", rid, max_length=MAX_REQUEST_ID_CHARACTERS)
        await self._front.abort(name)
        return Response()

    async def _open(self, body: JsonObject, ignored: list[str], session: str | None) -> OpenCall:
        front, config = self._front, self._front.config
        call = read_call(
            body,
            front.limits,
            max_answers=config.max_queued_requests + config.max_running_requests,
            stream_interval=config.stream_interval,
            session=session,
        )
        prompts = await encode_prompts(
            front.tokenizer,
            [item.prompt for item in call.items],
            max_tokens=front.limits.context_length,
            field=call.prompt_field,
        )
        return open_call(front, call, prompts, ignored)

    def _closer(self, stream: AnswerStream, opened: OpenCall) -> Callable[[], None]:
        def close() -> None:
            stream.close()
            self._front.open_calls.remove(opened.names)

        return close


async def _events(stream: AnswerStream, opened: OpenCall) -> AsyncIterator[bytes]:
    """One write for all that has come; what came while a write was held up is one event."""
    async for chunks in stream:
        yield b"".join(b"data: %b\n\n" % encode_json(event) for event in opened.take_events(chunks))
    yield DONE
