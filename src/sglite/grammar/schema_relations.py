"""Keywords about several properties or items at once, in terms of simpler ones.

    {"dependentRequired": {"a": ["b"]}}  is  {"anyOf": [{"properties": {"a": false}},
                                                        {"required": ["a", "b"]}]}

Each rewriting accepts exactly the same values; where there is none, the keyword stays.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

from sglite.grammar.schema_dialects import canonical
from sglite.grammar.schema_keywords import ASSERTIONS

MAX_UNIQUE_VALUES = 5
"""All orders of all choices of so many are 326 arrays."""
MAX_UNIQUE_CHARS = 500
"""Of all the values together."""

Schema = dict[str, Any]


def rewrite_relations(schema: Schema) -> Schema:
    """The schema with simpler keywords; those within its parts stay."""
    new = dict(schema)
    parts = [*_of_dependencies(new), *_of_not(new), *_of_condition(new)]
    if parts:
        new["allOf"] = [*new.get("allOf", ()), *parts]
    _take_max_properties(new)
    _take_unique_items(new)
    return new


def _of_dependencies(new: Schema) -> list[Schema]:
    parts = []
    for word in ("dependentRequired", "dependencies"):
        rules = new.get(word)
        if isinstance(rules, dict) and all(map(_are_names, rules.values())):
            del new[word]
            parts += [
                {"anyOf": [_lacks_one([name]), {"required": [name, *others]}]}
                for name, others in rules.items()
            ]
    return parts


def _of_not(new: Schema) -> list[Schema]:
    """To forbid that names are required also forbids all that is no object."""
    names = _required_alone(new.get("not"))
    if not names or new.get("type") != "object":
        return []
    del new["not"]
    return [_lacks_one(names)]


def _of_condition(new: Schema) -> list[Schema]:
    """An ``if`` that asks for names alone; to all that is no object, its ``then`` applies."""
    names = _required_alone(new.get("if"))
    if not names or new.get("type") != "object":
        return []
    del new["if"]
    met = {"allOf": [{"required": names}, new.pop("then", True)]}
    return [{"anyOf": [{"allOf": [_lacks_one(names), new.pop("else", True)]}, met]}]


def _take_max_properties(new: Schema) -> None:
    """Where no more than the required properties are allowed, there are no others."""
    required = set(new.get("required", ()))
    properties = new.get("properties", {})
    if new.get("maxProperties") != len(required) or not required <= properties.keys():
        return
    del new["maxProperties"]
    new.pop("patternProperties", None)
    new["properties"] = {name: part for name, part in properties.items() if name in required}
    new["additionalProperties"] = False


def _take_unique_items(new: Schema) -> None:
    """Arrays of a few constants without repetition, one by one."""
    values = _constants(new.get("items"))
    is_array = new.get("type") == "array" and new.get("uniqueItems") is True
    if not is_array or not values or {"prefixItems", "enum", "const"} & new.keys():
        return
    texts = [canonical(value) for value in values]
    is_much = len(values) > MAX_UNIQUE_VALUES or sum(map(len, texts)) > MAX_UNIQUE_CHARS
    if is_much or len(set(texts)) < len(texts):
        return
    least, most = new.pop("minItems", 0), new.pop("maxItems", len(values))
    counts = [count for count in range(len(values) + 1) if least <= count <= most]
    for word in ("uniqueItems", "items", "type"):
        del new[word]
    new["enum"] = [list(chosen) for count in counts for chosen in permutations(values, count)]


def _constants(items: Any) -> list[Any]:
    """The values of an ``enum`` that says all about a schema; none where there is more."""
    values = items.get("enum") if isinstance(items, dict) else None
    if not isinstance(values, list):
        return []
    is_text = items.get("type") == "string" and all(isinstance(value, str) for value in values)
    known = {"enum", "type"} if is_text else {"enum"}
    return values if not ASSERTIONS & items.keys() - known else []


def _lacks_one(names: list[str]) -> Schema:
    """A schema of values that lack at least one of these properties."""
    options: list[Schema] = [{"properties": {name: False}} for name in names]
    return options[0] if len(options) == 1 else {"anyOf": options}


def _required_alone(schema: Any) -> list[str]:
    """The names that a schema requires; none where it asks for anything else."""
    names = schema.get("required") if isinstance(schema, dict) else None
    if not isinstance(names, list) or not _are_names(names):
        return []
    return names if len(ASSERTIONS & schema.keys()) == 1 else []


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
