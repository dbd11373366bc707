"""The streaming-first dialect of ``/generate``: a prompt in, lines of JSON out.

    {"prompt": "Hi", "stream": true, "max_new_tokens": 8}
        {"text_delta": "..."} ... {"event": "done", "finish_reason": "stop"}

Sampling parameters stand beside the prompt, under SGLang's names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from sglite.call_options import read_deadline_s, read_namespace
from sglite.errors import RequestError
from sglite.generation import OpenGeneration
from sglite.server.http.error_table import error_body
from sglite.server.http.field_policy import check_fields
from sglite.server.http.sessions import read_session
from sglite.server.http.sse import EventStreamResponse
from sglite.server.native.fields import UNSUPPORTED
from sglite.server.native.stream import encode_json
from sglite.server.prompt_encoding import encode_prompts
from sglite.validation import RequestTraits, sampling_params_from_dict
from sglite.validation.fields import boolean, shown
from sglite.validation.sampling_params import CHECKS
from sglite.validation.sampling_params import UNSUPPORTED as UNSUPPORTED_PARAMETERS

if TYPE_CHECKING:
    from sglite.server.answer_stream import AnswerStream
    from sglite.server.front import Front

MEDIA_TYPE = "application/x-ndjson"
KNOWN = frozenset(("prompt", "text", "input_ids", "stream", "cache_salt", "timeout", *CHECKS)) - {
    "n"
}
REFUSED = {**UNSUPPORTED, **dict.fromkeys(UNSUPPORTED_PARAMETERS), "n": 1}


async def generate(front: Front, request: Request, body: dict[str, Any]) -> Response:
    """Answer a body with ``prompt``. Raises RequestError."""
    ignored = check_fields(request, body, known=KNOWN, unsupported=REFUSED)
    opened = await _open(front, body, read_session(request))
    stream = front.answer(opened)
    return EventStreamResponse(
        _lines(stream, ignored), stream.close, media_type=MEDIA_TYPE, write_error=_error_lines
    )


async def _open(front: Front, body: dict[str, Any], session: str | None) -> list[OpenGeneration]:
    prompt, streams = body["prompt"], body.get("stream")
    if not isinstance(prompt, str):
        raise RequestError(f"prompt must be a string, got {shown(prompt)}", param="prompt")
    if streams is not None and not boolean("stream", streams):
        raise RequestError(
            "a body with prompt is answered by a stream; send text instead of prompt for one JSON "
            "object",
            param="stream",
        )
    sampling = sampling_params_from_dict({name: body[name] for name in CHECKS if name in body})
    traits = RequestTraits(
        namespace=read_namespace(body.get("cache_salt")),
        deadline_s=read_deadline_s("timeout", body.get("timeout")),
        is_streamed=True,
        session=session,
    )
    max_tokens = front.limits.context_length
    (token_ids,) = await encode_prompts(
        front.tokenizer, [prompt], max_tokens=max_tokens, field="prompt"
    )
    return front.open_prompt(token_ids, sampling, traits=traits)


async def _lines(stream: AnswerStream, ignored: list[str]) -> AsyncIterator[bytes]:
    done: dict[str, Any] = {"event": "done"}
    async for chunks in stream:
        text = "".join(chunk.text for chunk in chunks)
        if text:
            yield _line({"text_delta": text})
        for chunk in chunks:
            if chunk.finished is not None:
                done["finish_reason"] = chunk.finished.finish_reason.value
    if ignored:
        done["ignored_fields"] = ignored
    yield _line(done)


def _error_lines(error: Exception) -> bytes:
    """What a stream that fails ends with."""
    return _line({"error": error_body(error)["error"]}) + _line({"event": "done"})


def _line(value: dict[str, Any]) -> bytes:
    return encode_json(value) + b"\n"
