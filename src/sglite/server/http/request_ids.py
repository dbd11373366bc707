"""The id of an HTTP call: in the response's ``X-Request-Id``, in the log, in a 500.

It is the server's own unless the caller sent a harmless one. The engine's ids are others (R16).
"""

from __future__ import annotations

import re
import secrets

from starlette.requests import Request
from starlette.types import Scope

HEADER = b"x-request-id"
MAX_LENGTH = 128

_PRINTABLE = re.compile(rb"[\x21-\x7e]{1,%d}" % MAX_LENGTH)


def settle_request_id(scope: Scope) -> str:
    """The id of this call, kept in the scope: the caller's if it is printable ASCII and short."""
    given = next((value for name, value in scope["headers"] if name == HEADER), b"")
    request_id = given.decode("ascii") if _PRINTABLE.fullmatch(given) else secrets.token_hex(16)
    scope.setdefault("state", {})["request_id"] = request_id
    return request_id


def request_id_of(request: Request) -> str:
    """The id that this call was given."""
    return str(request.scope.get("state", {}).get("request_id", ""))
