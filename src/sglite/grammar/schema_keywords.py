"""JSON schemas as the libraries get them: checked, and without what none of them enforces.

A keyword that a library does not enforce is never left out silently: the schema is refused with
its name, or the names come back where the request allows that. Keywords that are no assertions
(``title``, and all that JSON Schema does not know) say nothing about the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from urllib.parse import quote, unquote

from sglite.errors import RequestError
from sglite.grammar.expressions import Expression, rust_regex
from sglite.grammar.regex_parser import parse_regex
from sglite.grammar.schema_dialects import as_newest, is_old_draft

SCHEMA = frozenset(
    "additionalItems additionalProperties contains else if items not propertyNames then "
    "unevaluatedItems unevaluatedProperties".split()
)
"""Keywords whose value is a schema."""
SCHEMAS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
"""Keywords whose value is a list of schemas."""
NAMED_SCHEMAS = frozenset(
    {"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
)
"""Keywords whose value maps names to schemas."""

ASSERTIONS = (
    SCHEMA
    | SCHEMAS
    | NAMED_SCHEMAS
    | frozenset(
        "$dynamicRef $recursiveRef $ref const dependencies dependentRequired enum "
        "exclusiveMaximum exclusiveMinimum format maxContains maxItems maxLength maxProperties "
        "maximum minContains minItems minLength minProperties minimum multipleOf pattern required "
        "type uniqueItems".split()
    )
)
"""Keywords that make a difference to what is valid; all others are annotations."""


VALUES = frozenset(
    "const enum exclusiveMaximum exclusiveMinimum maximum minimum multipleOf".split()
)
MAX_EXACT_INTEGER = 2**53

KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("enum", "required", "prefixItems", "allOf", "anyOf", "oneOf"), list),
    **dict.fromkeys(("$ref", "pattern", "format"), str),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), (int, float)),
    **dict.fromkeys(("minProperties", "maxProperties", "multipleOf"), (int, float)),
    **dict.fromkeys(("minimum", "maximum"), (int, float)),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), (int, float, bool)),
    **dict.fromkeys(("properties", "patternProperties", "$defs", "definitions"), dict),
    "type": (str, list),
}
"""What the value of a keyword has to be."""
LISTS_OF_NAMES = frozenset({"required", "type"})
"""Lists of texts; ``type`` may be one text."""


@dataclass(frozen=True, slots=True)
class Enforced:
    """What a library enforces: keywords, and values of ``format``.

    ``find_unsure`` names those keywords of one schema that it does not enforce beside the others;
    ``rewrite`` comes before. ``write_pattern`` gives its syntax of regular expressions.
    """

    keywords: frozenset[str]
    formats: frozenset[str]
    find_unsure: Callable[[dict[str, Any]], set[str]]
    rewrite: Callable[[dict[str, Any]], dict[str, Any]] = dict
    write_pattern: Callable[[Expression], str] = rust_regex


@dataclass(frozen=True, slots=True)
class PreparedSchema:
    """A schema of enforced keywords alone, and the names of what was left out, sorted."""

    schema: dict[str, Any]
    ignored: tuple[str, ...]


def prepare_schema(
    schema: Any, enforced: Enforced, *, ignores_keywords: bool, param: str = "json_schema"
) -> PreparedSchema:
    """The schema without annotations and without what is not enforced.

    Raises RequestError where it is no schema, has references that lead out of it, or where
    something would have to be left out and may not be.
    """
    filtered = _SchemaFilter(schema, enforced, param)
    prepared = filtered.take(schema)
    ignored = tuple(sorted(filtered.left_out))
    if ignored and not ignores_keywords:
        raise not_enforced(ignored, param)
    if prepared is False:
        raise RequestError(f"{param} is `false`: no answer is valid", param=param)
    return PreparedSchema(prepared if isinstance(prepared, dict) else {}, ignored)


def not_enforced(names: tuple[str, ...], param: str) -> RequestError:
    """The refusal of keywords that cannot be enforced."""
    listed = ", ".join(names)
    return RequestError(
        f"{param} has keywords that cannot be enforced: {listed}. Leave them out, or set "
        "allow_ignored_schema_keywords to have them ignored",
        param=param,
    )


class _SchemaFilter:
    """Copies a schema; collects the names of what it leaves out."""

    def __init__(self, root: Any, enforced: Enforced, param: str) -> None:
        self._root = root
        self._is_old = is_old_draft(root)
        self._enforced = enforced
        self._param = param
        self.left_out: set[str] = set()

    def take(self, schema: Any) -> Any:
        """The copy of one schema."""
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise self._refusal(f"has {str(schema)[:80]!r} where a schema has to be")
        for name, value in schema.items():
            self._check_kind(name, value)
        newest = self._enforced.rewrite(as_newest(schema, is_old=self._is_old))
        unsure = self._enforced.find_unsure(newest)
        kept = {}
        for name, value in newest.items():
            if name not in ASSERTIONS:
                continue
            if name in unsure:
                self.left_out.add(name)
            elif self._is_enforced(name, value):
                kept[name] = self._take_value(name, value)
        return kept

    def _is_enforced(self, name: str, value: Any) -> bool:
        if name == "format":
            if value in self._enforced.formats:
                return True
            self.left_out.add(f"format: {str(value)[:40]}")
            return False
        if name in self._enforced.keywords:
            return True
        self.left_out.add(name)
        return False

    def _take_value(self, name: str, value: Any) -> Any:
        if name == "$ref":
            return self._reference(value)
        if name in VALUES:
            self._check_value(name, value)
        if name == "pattern":
            return self._pattern(value)
        if name == "items" and isinstance(value, list):
            raise self._refusal(
                "has a list as items, which JSON Schema has not had since draft 2020-12; use "
                "prefixItems"
            )
        if name in SCHEMA:
            return self.take(value)
        if name in SCHEMAS:
            return [self.take(schema) for schema in self._checked(name, value, list)]
        if name in NAMED_SCHEMAS:
            taken = self._checked(name, value, dict).items()
            rename: Callable[[str], str] = (
                self._pattern if name == "patternProperties" else lambda key: key
            )
            return {rename(key): self.take(schema) for key, schema in taken}
        return value

    def _checked(self, name: str, value: Any, kind: type) -> Any:
        if not isinstance(value, kind):
            wanted = "a list of schemas" if kind is list else "an object of schemas"
            raise self._refusal(f"has a {name} that is not {wanted}")
        return value

    def _pattern(self, pattern: Any) -> str:
        """The same for all libraries, by Python's meaning of it."""
        if not isinstance(pattern, str):
            raise self._refusal("has a pattern that is not a string")
        expression = parse_regex(pattern, param=self._param, is_search=True)
        return f"^{self._enforced.write_pattern(expression)}$"

    def _check_kind(self, name: str, value: Any) -> None:
        kinds = KINDS.get(name)
        is_right = kinds is None or isinstance(value, kinds)
        if is_right and name in LISTS_OF_NAMES and isinstance(value, list):
            is_right = all(isinstance(item, str) for item in value)
        if not is_right:
            wanted = "a list of names" if name in LISTS_OF_NAMES else _words_of(kinds)
            raise self._refusal(f"has {name} {str(value)[:80]}, which has to be {wanted}")

    def _check_value(self, name: str, value: Any) -> None:
        """Refuse what a library that computes in double precision would take for another number.

        So too a text that JSON can only write by number, which no answer does.
        """
        if isinstance(value, list):
            for item in value:
                self._check_value(name, item)
        elif isinstance(value, dict):
            self._check_value(name, [*value, *value.values()])
        elif isinstance(value, str) and any(c < " " and c not in "\b\f\n\r\t" for c in value):
            raise self._refusal(f"has a control character in {name}: {value[:80]!r}")
        elif isinstance(value, int) and abs(value) > MAX_EXACT_INTEGER:
            raise self._refusal(
                f"has {value} in {name}; integers are exact up to {MAX_EXACT_INTEGER} alone"
            )

    def _reference(self, reference: Any) -> str:
        """The reference as a URI. Refuses one to anything but a part of this schema."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise self._refusal(
                f"has $ref {str(reference)[:80]!r}; references to parts of the same schema are "
                "possible alone (#/$defs/...)"
            )
        target = self._root
        for step in unquote(reference)[1:].split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            target = _step_into(target, key)
        has_target = isinstance(target, (dict, bool)) and reference[1:2] in ("", "/")
        if not has_target:
            raise self._refusal(f"has $ref {reference[:80]!r}, which leads nowhere")
        return quote(unquote(reference), safe="#/~$")

    def _refusal(self, what: str) -> RequestError:
        return RequestError(f"{self._param} {what}", param=self._param)


def _words_of(kinds: Any) -> str:
    """What JSON calls the types of a keyword's value."""
    words = {list: "a list", dict: "an object", str: "a text"}
    return words.get(kinds, "a number")


def has_open_names(schema: dict[str, Any]) -> bool:
    """Whether an object may have properties that it does not list; one may come twice then."""
    return schema.get("additionalProperties") is not False or "patternProperties" in schema


def is_exact(number: Any) -> bool:
    """Whether double precision has the number itself; 0.5 it has, 0.1 not."""
    return not isinstance(number, float) or Fraction(str(number)) == Fraction(number)


def _step_into(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, list) and key.isdigit() and int(key) < len(value):
        return value[int(key)]
    return None
