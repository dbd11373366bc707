"""The body of a call as a JSON object, within limits that hold while it comes in (R19).

Bytes are counted as they arrive, whatever Content-Length says; a slow sender is cut off; nesting is
checked before anything is parsed. NaN, Infinity and 1e400 are no JSON here; of equal keys the last
one counts.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request

from sglite.server.http.error_table import HttpError

MAX_BODY_BYTES = 16 << 20
MAX_DEPTH = 64
MAX_CONTAINERS = 200_000
READ_TIMEOUT_S = 10.0

_ESCAPES = (b"\\\\", b'\\"')
_STRING = re.compile(rb'"[^"]*(?:"|\Z)')
"""Once the escapes are gone. It never goes back, so a text without an end costs no more."""
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""A bracket as a signed byte: one level in, one level out."""
_JSON_TYPE = re.compile(r"application/(?:[\w.+-]+\+)?json")
_UTF8_NAMES = ("utf-8", "utf8", "us-ascii")
_decoder = msgspec.json.Decoder()


class BodyError(HttpError):
    """A body that cannot be read as a JSON object."""

    def __init__(self, message: str, *, status: int = 400, code: str | None = None) -> None:
        closes = status in (408, 413)
        super().__init__(
            message, status=status, code=code, headers={"Connection": "close"} if closes else None
        )


async def read_json(request: Request, *, may_be_empty: bool = False) -> dict[str, Any]:
    """The object that the body holds; ``{}`` for an empty one where that may be.

    Raises BodyError, and ClientDisconnect where the caller left in the middle.
    """
    data = await read_body(request)
    if not data and may_be_empty:
        return {}
    check_headers(request)
    return parse_object(data)


async def read_body(request: Request) -> bytes:
    """The bytes of the body, whatever they are. Raises what :func:`read_json` does."""
    timeout_s = request.scope.get("state", {}).get("read_timeout_s", READ_TIMEOUT_S)
    try:
        return await asyncio.wait_for(_read(request), timeout_s)
    except asyncio.TimeoutError:
        raise BodyError(f"the body did not arrive within {timeout_s:g} s", status=408) from None


def check_headers(request: Request) -> None:
    """Raise BodyError where the headers say that the body is something else than JSON."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise BodyError("compressed bodies are not accepted", status=415)
    header = request.headers.get("content-type")
    if header is None:
        return
    kind, _, parameters = header.partition(";")
    if not _JSON_TYPE.fullmatch(kind.strip().lower()):
        raise BodyError("the Content-Type of the body must be application/json")
    name, _, value = parameters.partition("=")
    if name.strip().lower() == "charset" and value.strip(' "').lower() not in _UTF8_NAMES:
        raise BodyError("the body must be UTF-8")


def parse_object(data: bytes) -> dict[str, Any]:
    """The JSON object that ``data`` spells. Raises BodyError."""
    if not data.strip():
        raise BodyError("the body is empty; send a JSON object")
    check_nesting(data)
    try:
        value = _decoder.decode(data)
    except UnicodeDecodeError:
        raise BodyError("the body is not valid UTF-8") from None
    except RecursionError:
        raise _too_deep() from None
    except msgspec.ValidationError:
        raise BodyError("the body holds a number that is out of range") from None
    except msgspec.DecodeError as error:
        where = re.search(r"\(byte \d+\)", str(error))
        at = f" {where.group()}" if where else ""
        raise BodyError(f"the body is not valid JSON{at}") from None
    if not isinstance(value, dict):
        raise BodyError("the body must be a JSON object")
    return value


def check_nesting(data: bytes) -> None:
    """Raise BodyError for JSON that is nested too deeply or has too many lists and objects."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return
    bare = data
    for escape in _ESCAPES:
        bare = bare.replace(escape, b"")
    bare = _STRING.sub(b"", bare)
    num_containers = bare.count(b"[") + bare.count(b"{")
    if num_containers > MAX_CONTAINERS:
        raise BodyError(
            f"the body has {num_containers:,} lists and objects, more than {MAX_CONTAINERS:,}"
        )
    # Written so that it takes milliseconds even then: no other call is served meanwhile.
    steps = memoryview(bare.translate(_STEPS, _NO_BRACKETS)).cast("b")
    if max(itertools.accumulate(steps), default=0) > MAX_DEPTH:
        raise _too_deep()


def _too_deep() -> BodyError:
    return BodyError(f"the body is nested more than {MAX_DEPTH} levels deep")


async def _read(request: Request) -> bytes:
    chunks: list[bytes] = []
    num_bytes = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        num_bytes += len(chunk)
        if num_bytes > MAX_BODY_BYTES:
            raise BodyError(
                f"the body has more than {MAX_BODY_BYTES >> 20} MiB", status=413, code="too_large"
            )
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
