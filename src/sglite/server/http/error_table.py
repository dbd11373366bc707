"""Every error a caller can see: exception class -> status, type, code; and its two shapes.

The body is OpenAI's and SGLang's at once: ``{"error": {message, type, param, code}, "object":
"error", "message", "type", "param", "code"}``. Texts are ours or name a field (R20): an exception
without a row becomes a 500 that says nothing but the id under which the log has it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.responses import Response

from sglite.errors import (
    CapacityError,
    EngineDeadError,
    NotReadyError,
    RankLostError,
    RequestError,
    SgliteError,
)


class HttpError(SgliteError):
    """An error by HTTP's own rules, such as a path that does not exist.

    ``status`` is the answer's, ``code`` OpenAI's word for it, ``headers`` are added to it.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """What a class of errors looks like; ``flat_type`` is SGLang's name of it."""

    status: int
    type: str
    flat_type: str
    code: str | None = None


_BAD = ErrorRow(400, "invalid_request_error", "BadRequestError")
_FAULT = ErrorRow(500, "server_error", "InternalServerError", "internal_error")

ERRORS: dict[type[Exception], ErrorRow] = {
    RequestError: _BAD,
    CapacityError: ErrorRow(429, "rate_limit_error", "RateLimitError", "overloaded"),
    NotReadyError: ErrorRow(503, "server_error", "ServiceUnavailableError", "not_ready"),
    EngineDeadError: ErrorRow(503, "server_error", "ServiceUnavailableError", "engine_dead"),
    RankLostError: ErrorRow(503, "server_error", "ServiceUnavailableError", "engine_dead"),
    SgliteError: _FAULT,
}
"""Looked up along the class's ancestors."""

HTTP_TYPES: dict[int, tuple[str, str]] = {
    401: ("authentication_error", "AuthenticationError"),
    403: ("permission_error", "PermissionDeniedError"),
    404: ("not_found_error", "NotFoundError"),
    409: ("conflict_error", "ConflictError"),
    429: ("rate_limit_error", "RateLimitError"),
    500: ("server_error", "InternalServerError"),
    503: ("server_error", "ServiceUnavailableError"),
}
DEFAULT_RETRY_AFTER_S = 1.0


def row_for(error: Exception) -> ErrorRow:
    """The row of an exception; 500 where its class has none."""
    if isinstance(error, HttpError):
        types = HTTP_TYPES.get(error.status, (_BAD.type, _BAD.flat_type))
        return ErrorRow(error.status, *types, error.code)
    for ancestor in type(error).__mro__:
        if ancestor in ERRORS:
            return ERRORS[ancestor]
    return _FAULT


def error_body(error: Exception, *, request_id: str | None = None) -> dict[str, Any]:
    """Both shapes of the error body."""
    row = row_for(error)
    message = str(error)
    if row.status == 500:
        known_as = f" (request {request_id})" if request_id else ""
        message = f"the server failed on this request{known_as}; its log has the cause"
    param = getattr(error, "param", None)
    return {
        "error": {"message": message, "type": row.type, "param": param, "code": row.code},
        "object": "error",
        "message": message,
        "type": row.flat_type,
        "param": param,
        "code": row.status,
    }


def error_response(error: Exception, *, request_id: str | None = None) -> Response:
    """The answer to a call that failed before anything was sent."""
    row = row_for(error)
    headers = dict(getattr(error, "headers", {}))
    if row.status in (429, 503):
        wait_s = getattr(error, "retry_after_s", None) or DEFAULT_RETRY_AFTER_S
        headers.setdefault("Retry-After", str(max(1, math.ceil(wait_s))))
    body = msgspec.json.encode(error_body(error, request_id=request_id))
    return Response(body, row.status, headers, "application/json")


def stream_error(error: Exception, *, request_id: str | None = None) -> bytes:
    """The last two events of a stream that failed: the error, then ``[DONE]``."""
    inner = error_body(error, request_id=request_id)["error"]
    row = row_for(error)
    inner |= {"code": inner["code"] or row.status, "retryable": row.status in (429, 503)}
    return b"data: " + msgspec.json.encode({"error": inner}) + b"\n\ndata: [DONE]\n\n"
