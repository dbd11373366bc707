"""An honest contract about the fields of a body: each one works, is refused by name, or is listed.

Known: it does what its name says. Known but unsupported: refused where its value asks for
something; null, false, empty, the default always pass. Unknown: ignored, and listed in
``ignored_fields``; refused with the header ``X-Strict: 1``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from starlette.requests import Request

from sglite.errors import RequestError
from sglite.validation.fields import shown

MAX_LISTED = 64
MAX_NAME_CHARACTERS = 64


def check_fields(
    request: Request,
    body: Mapping[str, Any],
    *,
    known: Collection[str],
    unsupported: Mapping[str, Any],
) -> list[str]:
    """The names of the unknown fields of ``body``, as ``ignored_fields`` lists them.

    ``unsupported`` maps names to their defaults. Raises RequestError for the first field that asks
    for what cannot be done, and for the first unknown one under ``X-Strict: 1``.
    """
    ignored: list[str] = []
    is_strict = request.headers.get("x-strict") == "1"
    for name, value in body.items():
        if name in known:
            continue
        if name in unsupported:
            if not asks_for_nothing(value, unsupported[name]):
                raise RequestError(
                    f"{name} is not supported, got {shown(value)}; leave it out", param=name
                )
        elif is_strict:
            raise RequestError(f"there is no field {shown(name)}", param=name[:MAX_NAME_CHARACTERS])
        elif len(ignored) < MAX_LISTED:
            ignored.append(name[:MAX_NAME_CHARACTERS])
    return ignored


def asks_for_nothing(value: object, default: object) -> bool:
    """True for null, false, empty and the default, but not for 0, which may mean something."""
    if value is None or value is False or value in ("", [], {}):
        return True
    if isinstance(value, bool) or isinstance(default, bool):
        return value is default
    return value == default
