"""Objects that list their properties, taken as complete.

A schema that lists properties and says nothing of others allows any others, and a model that may
write some without end does. Such an object is closed here. Every answer still validates, since
less is allowed than before; and something is allowed still: of a valid value, what is left without
the names that are not listed is valid too. Both hold only where nothing else looks at the same
object. So an object stays open where several schemas hold for it (``allOf``, ``$ref`` or ``anyOf``
beside other keywords), where it needs names that it does not list, or a number of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

Schema = dict[str, Any]

HARMLESS = frozenset({"$defs", "definitions", "type"})
"""Keywords that say nothing of an object's properties."""
APPLIED = ("allOf", "anyOf", "oneOf")
SAYS_MORE = frozenset(
    "$ref additionalProperties allOf anyOf const enum minProperties oneOf patternProperties".split()
)
"""Keywords beside which an object is not closed."""
PARTS = ("additionalItems", "additionalProperties", "items")
LISTS = ("prefixItems", *APPLIED)
MAPS = ("$defs", "definitions", "patternProperties", "properties")


def close_objects(root: Schema) -> Schema:
    """A copy of a prepared schema in which such objects have no other properties.

    A ``oneOf`` in it has to be known as disjoint already: closed branches only seem to be.
    """
    shared = _shared_schemas(root)
    return root if shared is None else _closed(root, shared)


def _closed(schema: Any, shared: set[int]) -> Any:
    if not isinstance(schema, dict):
        return schema
    new = dict(schema)
    for name, value in schema.items():
        if name in PARTS:
            new[name] = _closed(value, shared)
        elif name in LISTS:
            new[name] = [_closed(part, shared) for part in value]
        elif name in MAPS:
            new[name] = {key: _closed(part, shared) for key, part in value.items()}
    properties = schema.get("properties")
    is_complete = properties and set(schema.get("required", ())) <= properties.keys()
    if is_complete and not SAYS_MORE & schema.keys() and id(schema) not in shared:
        new["additionalProperties"] = False
    return new


def _shared_schemas(root: Schema) -> set[int] | None:
    """Identities of the schemas that hold for a value together with others.

    None where a reference leads to something that is no schema of the tree.
    """
    alone: set[int] = set()
    shared: set[int] = set()
    todo: list[tuple[Any, bool]] = [(root, False)]
    while todo:
        schema, is_shared = todo.pop()
        seen = shared if is_shared else alone
        if not isinstance(schema, dict) or id(schema) in seen:
            continue
        seen.add(id(schema))
        if "$ref" in schema:
            target = _target(root, schema["$ref"])
            if target is None:
                return None
            todo.append((target, is_shared or bool(schema.keys() - HARMLESS - {"$ref"})))
        todo += [(part, is_shared or is_beside) for part, is_beside in _parts(schema)]
    return shared


def _parts(schema: Schema) -> Iterator[tuple[Any, bool]]:
    """The schemas within one, and of each whether others may hold for the same value."""
    is_beside = any(
        name in schema and schema.keys() - HARMLESS - {name} for name in (*APPLIED, "$ref")
    )
    patterns = schema.get("patternProperties", {})
    is_named_twice = len(patterns) + ("properties" in schema) > 1 and bool(patterns)
    for name, value in schema.items():
        if name in PARTS:
            yield value, is_beside
        elif name in LISTS:
            has_others = name == "allOf" and len(value) > 1
            yield from ((part, is_beside or has_others) for part in value)
        elif name in ("$defs", "definitions"):
            yield from ((part, False) for part in value.values())
        elif name in MAPS:
            yield from ((part, is_beside or is_named_twice) for part in value.values())


def _target(root: Schema, reference: str) -> Any:
    """What a reference leads to: a schema, or None where there is nothing."""
    target: Any = root
    for step in unquote(reference).split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list):
            target = target[int(key)] if key.isdigit() and int(key) < len(target) else None
        else:
            target = target.get(key) if isinstance(target, dict) else None
    return target
