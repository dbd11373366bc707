"""Which series of requests a call belongs to: routers may keep one on one engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from sglite.validation.fields import string

HEADER = "x-session-id"
MAX_SESSION_CHARACTERS = 256


def read_session(request: Request, body: Mapping[str, Any] | None = None) -> str | None:
    """The session that the header names, else OpenAI's ``user``; None without either.

    Raises RequestError for a header that is too long. Of a long ``user`` only its beginning counts:
    it is a label, which may be longer.
    """
    named = request.headers.get(HEADER)
    if named:
        return string(HEADER, named, max_length=MAX_SESSION_CHARACTERS)
    user = None if body is None else body.get("user")
    return user[:MAX_SESSION_CHARACTERS] or None if isinstance(user, str) else None
