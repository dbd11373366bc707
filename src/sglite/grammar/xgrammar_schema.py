"""What xgrammar enforces of JSON Schema, found by experiment with version 0.2.8.

It leaves out silently what it does not know, and much of what it does know where that stands
beside something else. So this is a list of what holds; all the rest is refused by name.
"""

from __future__ import annotations

from typing import Any

from sglite.grammar.expressions import Expression, rust_regex
from sglite.grammar.schema_keywords import ASSERTIONS, Enforced, has_open_names

ALONE = ("$ref", "const", "enum", "anyOf", "allOf")
"""Beside one of these, other keywords are left out."""
DEFINITIONS = frozenset({"$defs", "definitions"})
OF_NUMBERS = frozenset("exclusiveMaximum exclusiveMinimum maximum minimum multipleOf".split())
OF_STRINGS = frozenset({"format", "maxLength", "minLength", "pattern"})
LENGTHS = frozenset({"maxLength", "minLength"})
TYPE_OF: dict[type, tuple[str, ...]] = {
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("number",),
    str: ("string",),
    list: ("array",),
    dict: ("object",),
    type(None): ("null",),
}


def write_pattern(expression: Expression) -> str:
    """A regular expression as xgrammar reads it; only its code points are written otherwise."""
    return rust_regex(expression).replace(r"\x{", r"\u{")


def rewrite(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema in terms that hold.

    A string of a length may have raw control characters, which JSON does not allow; one of a
    pattern may not. A name that is listed may be written with escapes, and has another's value
    then; so an object that lists names has no others.
    """
    new = dict(schema)
    if new.get("type") == "string" and LENGTHS & new.keys() and not _has_other_form(new):
        least, most = int(new.pop("minLength", 0)), new.pop("maxLength", "")
        new["pattern"] = rf"^[^\x00-\x1f]{{{least},{int(most) if most != '' else ''}}}$"
    if new.get("properties") and new.get("additionalProperties", True) is True:
        new["additionalProperties"] = False
    return new


def _has_other_form(schema: dict[str, Any]) -> bool:
    return any(name in schema for name in ("pattern", "format", *ALONE))


def find_unsure(schema: dict[str, Any]) -> set[str]:
    """Keywords of one schema that xgrammar leaves out because of the others."""
    names = (ASSERTIONS & schema.keys()) - DEFINITIONS
    leading = next((name for name in ALONE if name in schema), None)
    if leading is not None:
        others = set(names - {leading})
        if leading in ("const", "enum") and _have_type(schema):
            others -= {"type"}
        is_empty_list = leading == "allOf" and len(schema["allOf"]) != 1
        return others | ({"allOf"} if is_empty_list else set())
    unsure = set(names & (OF_NUMBERS | OF_STRINGS)) if "type" not in schema else set()
    if "multipleOf" in schema and (schema.get("type") != "integer" or len(names & OF_NUMBERS) > 1):
        unsure.add("multipleOf")
    if "pattern" in schema:
        unsure |= names & (LENGTHS | {"format"})
    if "format" in schema:
        unsure |= names & LENGTHS
    return unsure | _unsure_of_objects(schema)


def _unsure_of_objects(schema: dict[str, Any]) -> set[str]:
    unsure = set()
    properties = schema.get("properties") or {}
    if not set(schema.get("required") or ()) <= set(properties):
        unsure.add("required")
    if properties and schema.get("additionalProperties") is not False:
        unsure.add("additionalProperties")
    if "patternProperties" in schema and (
        properties or schema.get("additionalProperties") is not False
    ):
        unsure.add("patternProperties")
    least = schema.get("minProperties")
    if isinstance(least, int) and least > 1 and has_open_names(schema):
        unsure.add("minProperties")
    return unsure


def _have_type(schema: dict[str, Any]) -> bool:
    """Whether the values of an enum or const are of the type that stands beside it."""
    listed = schema.get("type", [])
    types = {listed} if isinstance(listed, str) else set(listed)
    values = schema["enum"] if "enum" in schema else [schema["const"]]
    return all(types & set(TYPE_OF.get(type(value), ())) for value in values)


ENFORCED = Enforced(
    keywords=frozenset(
        "$defs $ref additionalProperties allOf anyOf const definitions enum exclusiveMaximum "
        "exclusiveMinimum items maxItems maxLength maxProperties maximum minItems minLength "
        "minProperties minimum multipleOf pattern patternProperties prefixItems properties "
        "required type".split()
    ),
    formats=frozenset("date date-time duration email hostname ipv4 ipv6 time uuid".split()),
    find_unsure=find_unsure,
    rewrite=rewrite,
    write_pattern=write_pattern,
)
"""Keywords and formats that hold, where ``find_unsure`` does not name them."""
