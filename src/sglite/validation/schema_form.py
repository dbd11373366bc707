"""Whether a JSON schema is one as far as its form tells, seen where nothing is compiled yet.

What it asks for, and whether that can be enforced, is found out where a grammar is made of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sglite.errors import RequestError
from sglite.validation.fields import shown

SHOWN_PATH_CHARACTERS = 200
TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
SCHEMAS = ("additionalProperties", "items", "not")
LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
MAPS = ("$defs", "definitions", "patternProperties", "properties")


def check_schema_form(field: str, schema: Mapping[str, Any]) -> None:
    """Raise RequestError where a type, a list of schemas or an object of them is none."""
    todo: list[tuple[str, Any]] = [(field, schema)]
    while todo:
        path, part = todo.pop()
        path = path if len(path) < SHOWN_PATH_CHARACTERS else f"{field}..."
        if isinstance(part, bool):
            continue
        if not isinstance(part, dict):
            raise _refusal(field, path, "a schema", part)
        if "type" in part:
            _check_type(field, path, part["type"])
        todo += _parts(field, path, part)


def _check_type(field: str, path: str, value: Any) -> None:
    types = value if isinstance(value, list) else [value]
    if not types or not all(isinstance(each, str) and each in TYPES for each in types):
        wrong = next((each for each in types if each not in TYPES), value)
        raise _refusal(field, f"{path}.type", f"one of {', '.join(TYPES)}", wrong)


def _parts(field: str, path: str, schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in schema.items():
        at = f"{path}.{name}"
        if name in MAPS:
            if not isinstance(value, dict):
                raise _refusal(field, at, "an object of schemas", value)
            yield from ((f"{at}.{key[:40]}", part) for key, part in value.items())
        elif name in LISTS or (name == "items" and isinstance(value, list)):
            if not isinstance(value, list):
                raise _refusal(field, at, "a list of schemas", value)
            yield from ((f"{at}[{i}]", part) for i, part in enumerate(value))
        elif name in SCHEMAS:
            yield at, value


def _refusal(field: str, path: str, wanted: str, value: Any) -> RequestError:
    return RequestError(f"{path} must be {wanted}, got {shown(value)}", param=field)
