"""Which headers pass the router, in which direction."""

from __future__ import annotations

from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization"),
        *(b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
    }
)
"""They are about one connection (RFC 9110, 7.6.1)."""
NOT_TO_WORKERS = frozenset(
    {
        *(b"host", b"content-length", b"expect", b"authorization", b"cookie", b"x-request-id"),
        # A worker trusts its caller's address: what a client says about addresses stays here.
        *(b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"),
        *(b"x-real-ip", b"origin"),
    }
)
NOT_TO_CLIENTS = frozenset({b"date", b"server", b"x-request-id", b"set-cookie"})
CORS_PREFIX = b"access-control-"


def to_worker(
    headers: Iterable[tuple[bytes, bytes]], *, request_id: str, authorization: bytes | None
) -> Headers:
    """The headers of a client's call as the worker gets them. Names are in lower case."""
    given = list(headers)
    dropped = HOP_BY_HOP | NOT_TO_WORKERS | _named_by_connection(given)
    kept = [(name, value) for name, value in given if name not in dropped]
    kept.append((b"x-request-id", request_id.encode("latin-1")))
    if authorization is not None:
        kept.append((b"authorization", authorization))
    return kept


def to_client(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers of a worker's answer as the client gets them; the router adds its own id."""
    given = [(name.lower(), value) for name, value in headers]
    dropped = HOP_BY_HOP | NOT_TO_CLIENTS | _named_by_connection(given)
    return [
        (name, value)
        for name, value in given
        if name not in dropped and not name.startswith(CORS_PREFIX)
    ]


def value_of(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> bytes | None:
    """The value of the first header of that name, None where there is none."""
    return next((value for name, value in headers if name.lower() == wanted), None)


def _named_by_connection(headers: Headers) -> frozenset[bytes]:
    """Further headers that a ``Connection`` header declares to be its own."""
    values = [value for name, value in headers if name == b"connection"]
    return frozenset(word.strip().lower() for value in values for word in value.split(b","))
