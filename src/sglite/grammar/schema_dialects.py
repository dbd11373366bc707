"""One schema as draft 2020-12 writes it, and without what says nothing."""

from __future__ import annotations

import json
from math import inf
from typing import Any

OLD_DRAFTS = ("draft-03", "draft-04", "draft-06", "draft-07", "2019-09")
"""Parts of ``$schema`` of the drafts in which ``items`` may be a list."""

NO_OPS: dict[str, tuple[Any, ...]] = {
    "uniqueItems": (False,),
    "propertyNames": (True, {}),
    "additionalItems": (True, {}),
    "unevaluatedItems": (True, {}),
    "unevaluatedProperties": (True, {}),
    "items": (True, {}),
    "minItems": (0,),
    "minLength": (0,),
    "minProperties": (0,),
    "dependencies": ({},),
    "dependentRequired": ({},),
    "dependentSchemas": ({},),
    "patternProperties": ({},),
    "required": ([],),
}
"""Values with which a keyword allows everything."""


def is_old_draft(schema: Any) -> bool:
    """Whether a root schema says that it is of a draft before 2020-12."""
    declared = schema.get("$schema") if isinstance(schema, dict) else None
    return isinstance(declared, str) and any(draft in declared for draft in OLD_DRAFTS)


def as_newest(schema: dict[str, Any], *, is_old: bool) -> dict[str, Any]:
    """The schema's own keywords, not those within, as draft 2020-12 has them."""
    new = {name: value for name, value in schema.items() if not _is_no_op(name, value)}
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(new.get(exclusive), bool):
            is_exclusive = new.pop(exclusive)
            if is_exclusive and bound in new:
                new[exclusive] = new.pop(bound)
    if is_old and isinstance(new.get("items"), list):
        new["prefixItems"] = new.pop("items")
        if "additionalItems" in new:
            new["items"] = new.pop("additionalItems")
    else:
        # It means something beside a list of items alone.
        new.pop("additionalItems", None)
    return _without_idle_parts(new)


def _without_idle_parts(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave out keywords that mean something beside others alone, where those are missing."""
    if "contains" not in schema:
        schema.pop("minContains", None)
        schema.pop("maxContains", None)
    if "if" not in schema or not {"then", "else"} & schema.keys():
        for name in ("if", "then", "else"):
            schema.pop(name, None)
    if "oneOf" in schema and "anyOf" not in schema and _are_disjoint(schema["oneOf"]):
        schema["anyOf"] = schema.pop("oneOf")
    num_required = len(set(map(str, schema.get("required") or ())))
    least = schema.get("minProperties")
    if isinstance(least, int) and least <= num_required:
        del schema["minProperties"]
    most = schema.get("maxProperties")
    if isinstance(most, int) and most >= _max_names(schema):
        del schema["maxProperties"]
    if schema.get("uniqueItems") is True and schema.get("maxItems") in (0, 1):
        del schema["uniqueItems"]
    return _names_as_patterns(schema)


def _max_names(schema: dict[str, Any]) -> float:
    """How many properties an object may have by their names alone."""
    is_closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
    properties = schema.get("properties", {})
    return len(properties) if is_closed and isinstance(properties, dict) else inf


def _are_disjoint(options: Any) -> bool:
    """Whether no value fits two of the schemas: one alone, or constants that all differ."""
    if not isinstance(options, list) or not all(isinstance(option, dict) for option in options):
        return False
    if len(options) == 1:
        return True
    texts: list[str] = []
    for option in options:
        values = [option["const"]] if "const" in option else option.get("enum")
        if not isinstance(values, list):
            return False
        texts += {canonical(value) for value in values}
    return len(set(texts)) == len(texts)


def canonical(value: Any) -> str:
    """The same text for equal values of JSON: 1 and 1.0 are the same number, 1 and true are not."""
    return json.dumps(_with_integers(value), sort_keys=True)


def _with_integers(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_integers(item) for item in value]
    if isinstance(value, dict):
        return {name: _with_integers(item) for name, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _names_as_patterns(schema: dict[str, Any]) -> dict[str, Any]:
    """A pattern of all names as a pattern of properties, beside which there are no others."""
    names = schema.get("propertyNames")
    if not isinstance(names, dict) or set(names) - {"type"} != {"pattern"}:
        return schema
    if {"properties", "patternProperties", "required"} & schema.keys():
        return schema
    others = schema.get("additionalProperties", True)
    schema["patternProperties"] = {str(names["pattern"]): others}
    schema["additionalProperties"] = False
    del schema["propertyNames"]
    return schema


def _is_no_op(name: str, value: Any) -> bool:
    """Equal and of the same type: to Python, 0 is False."""
    return any(value == idle and type(value) is type(idle) for idle in NO_OPS.get(name, ()))
