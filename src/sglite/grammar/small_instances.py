"""A small value that a JSON schema accepts, or nearly so: a good guess at its shortest answer.

Schemas are read as far as they say what to write; a grammar has to check the result. References
may go in circles, so values are built up in rounds: in each, every schema gets the smallest value
that those known so far make up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from string import ascii_lowercase
from typing import Any, Final
from urllib.parse import unquote

from sglite.errors import RequestError
from sglite.grammar.regex_parser import parse_regex
from sglite.grammar.schema_dialects import as_newest, is_old_draft
from sglite.grammar.shortest_texts import MAX_CHARS, shortest_text

MAX_ROUNDS = 12
"""References lead on from references at most so often."""
MAX_MERGES = 16
"""Schemas within each other that become one, by ``allOf``, ``$ref`` or options of the rest."""
MAX_MERGED = 2_000
"""Values of schemas that were merged in all: options of options are many."""
BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")

TYPES = ("integer", "string", "array", "object", "null", "boolean", "number")

FORMATS = {
    "date": "2000-01-01",
    "date-time": "2000-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "a@a.aa",
    "hostname": "a",
    "ipv4": "1.1.1.1",
    "ipv6": "::1",
    "uri": "a:b",
    "uuid": "00000000-0000-0000-0000-000000000000",
}
PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "integer": int,
    "number": (int, float),
    "string": str,
    "array": list,
    "object": dict,
    "null": type(None),
    "boolean": bool,
}

NOTHING: Final = object()
"""No value is known; ``None`` is one: null."""
Schema = dict[str, Any]


def small_instance(schema: Any) -> Any:
    """A small value of a schema, NOTHING where none was found. Any JSON may be a schema."""
    return _Instances(schema).build()


class _Instances:
    """The smallest values so far of a schema's parts, by their identity."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._is_old = is_old_draft(root)
        self._parts = list(_dicts(root))
        self._values: dict[int, Any] = {id(part): NOTHING for part in self._parts}
        self._num_merged = 0

    def build(self) -> Any:
        """The root's value; the rounds end when one changes nothing."""
        for _ in range(MAX_ROUNDS):
            has_changed = [self._improve(part) for part in self._parts]
            if not any(has_changed):
                break
        return self._known(self._root)

    def _improve(self, part: Schema) -> bool:
        value = self._value(part, 0)
        if _size(value) >= _size(self._values[id(part)]):
            return False
        self._values[id(part)] = value
        return True

    def _known(self, schema: Any, depth: int = 0) -> Any:
        """The value of a part, or of a schema that was merged of parts ``depth`` times."""
        if not isinstance(schema, dict):
            return 0 if schema is True else NOTHING
        if id(schema) in self._values:
            return self._values[id(schema)]
        self._num_merged += 1
        is_too_much = depth >= MAX_MERGES or self._num_merged > MAX_MERGED
        return NOTHING if is_too_much else self._value(schema, depth + 1)

    def _value(self, schema: Schema, depth: int) -> Any:
        flat = self._flat(schema)
        if flat is None:
            return NOTHING
        types = flat.get("type", TYPES)
        types = [types] if isinstance(types, str) else list(types)
        if "const" in flat:
            return flat["const"]
        if "enum" in flat:
            return _smallest(value for value in flat["enum"] if _is_of(value, types))
        for word in ("anyOf", "oneOf"):
            if isinstance(flat.get(word), list):
                rest = {name: value for name, value in flat.items() if name != word}
                merged = [_merged(rest, option) for option in flat[word]]
                return _smallest(self._known(option, depth) for option in merged)
        return _smallest(self._of_type(name, flat, depth) for name in types)

    def _flat(self, schema: Any) -> Schema | None:
        """The schema with that of its reference and those of its ``allOf``; None: nothing fits."""
        for _ in range(MAX_MERGES):
            if not isinstance(schema, dict):
                return {} if schema is True else None
            flat = as_newest(schema, is_old=self._is_old)
            others = [*flat.pop("allOf", ())]
            if "$ref" in flat:
                others.append(self._target(flat.pop("$ref")))
            if not others:
                return flat
            schema = flat
            for other in others:
                schema = _merged(schema, other)
        return None

    def _target(self, reference: Any) -> Any:
        target = self._root
        for step in unquote(str(reference)).split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list):
                target = target[int(key)] if key.isdigit() and int(key) < len(target) else False
            else:
                target = target.get(key, False) if isinstance(target, dict) else False
        return target

    def _of_type(self, name: str, schema: Schema, depth: int) -> Any:
        if name == "string":
            return _string(schema)
        if name == "array":
            return self._array(schema, depth)
        if name == "object":
            return self._object(schema, depth)
        if name in ("integer", "number"):
            return _number(schema, is_integer=name == "integer")
        return None if name == "null" else True

    def _array(self, schema: Schema, depth: int) -> Any:
        num_items = int(schema.get("minItems", 0))
        places = list(schema.get("prefixItems", ()))[:num_items]
        items = [self._known(place, depth) for place in places]
        num_more = num_items - len(items)
        if num_more:
            item = self._known(schema.get("items", True), depth)
            if num_more * _size(item) > MAX_CHARS:
                return NOTHING
            items += [item] * num_more
        return NOTHING if any(item is NOTHING for item in items) else items

    def _object(self, schema: Schema, depth: int) -> Any:
        """Required properties in the order of ``properties``, and small others if need be."""
        properties = schema.get("properties", {})
        required = dict.fromkeys(schema.get("required", ()))
        others = [name for name in properties if name not in required]
        others.sort(key=lambda name: len(name) + _size(self._known(properties[name], depth)))
        spare = [name for name in (*others, *ascii_lowercase) if name not in required]
        num_missing = max(0, int(schema.get("minProperties", 0)) - len(required))
        required |= dict.fromkeys(list(dict.fromkeys(spare))[:num_missing])
        names = [name for name in properties if name in required]
        names += [name for name in required if name not in properties]
        values = {name: self._known(_schema_of(name, schema), depth) for name in names}
        return NOTHING if any(value is NOTHING for value in values.values()) else values


def _schema_of(name: str, schema: Schema) -> Any:
    """The schema of one property, as far as names tell without their patterns."""
    properties = schema.get("properties", {})
    if name in properties:
        return properties[name]
    others = schema.get("additionalProperties", True)
    if others is False:
        return next(iter(schema.get("patternProperties", {}).values()), False)
    return others


def _string(schema: Schema) -> Any:
    least = int(schema.get("minLength", 0))
    if "pattern" in schema:
        try:
            text = shortest_text(parse_regex(schema["pattern"], is_search=True))
        except RequestError:
            return NOTHING
        return NOTHING if text is None else text
    if "format" in schema:
        return FORMATS.get(schema["format"], "")
    return "a" * least if least <= MAX_CHARS else NOTHING


def _number(schema: Schema, *, is_integer: bool) -> Any:
    """0, or a number next to a bound, or between two."""
    step = Decimal(str(schema.get("multipleOf", 1)))
    bounds = {name: Decimal(str(schema[name])) for name in BOUNDS if name in schema}
    tries = [Decimal(0)]
    for bound in bounds.values():
        floor = bound // step * step
        tries += [floor, floor + step, floor - step, bound]
    if len(bounds) > 1:
        tries.append(sum(bounds.values(), Decimal(0)) / len(bounds))
    fitting = [
        _plain(number)
        for number in tries
        if _is_between(number, bounds)
        and not (number % step and "multipleOf" in schema)
        and not (number % 1 and is_integer)
    ]
    return _smallest(fitting)


def _is_between(number: Decimal, bounds: dict[str, Decimal]) -> bool:
    return (
        bounds.get("minimum", number) <= number <= bounds.get("maximum", number)
        and bounds.get("exclusiveMinimum", number - 1) < number
        and number < bounds.get("exclusiveMaximum", number + 1)
    )


def _plain(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)


def _merged(first: Any, second: Any) -> Any:
    """A schema that asks for what both ask for, roughly where both say the same keyword."""
    if first is False or second is False:
        return False
    if not isinstance(first, dict) or not first:
        return second
    if not isinstance(second, dict) or not second:
        return first
    merged = dict(first)
    for name, value in second.items():
        merged[name] = _both(name, merged[name], value) if name in merged else value
    return merged


def _both(name: str, first: Any, second: Any) -> Any:
    if name == "required":
        return [*first, *second]
    if name in ("properties", "patternProperties"):
        shared = {key: {"allOf": [first[key], second[key]]} for key in first if key in second}
        return {**first, **second, **shared}
    if name == "type":
        names = [[kind] if isinstance(kind, str) else kind for kind in (first, second)]
        return [kind for kind in names[0] if kind in names[1]]
    if name.startswith("min") or name == "exclusiveMinimum":
        return max(first, second)
    if name.startswith("max") or name == "exclusiveMaximum":
        return min(first, second)
    return second


def _is_of(value: Any, types: list[str]) -> bool:
    if isinstance(value, bool):
        return "boolean" in types
    return any(isinstance(value, PYTHON_TYPES.get(name, ())) for name in types)


def _smallest(values: Iterable[Any]) -> Any:
    return min(values, key=_size, default=NOTHING)


def _size(value: Any) -> int:
    """Characters of its JSON text; of no value more than of any."""
    return 2 * MAX_CHARS if value is NOTHING else len(json.dumps(value, ensure_ascii=False))


def _dicts(value: Any) -> Iterator[Schema]:
    """All objects within a JSON value, the inner ones first: what may be a schema."""
    children = value.values() if isinstance(value, dict) else value
    if isinstance(value, (dict, list)):
        for child in children:
            yield from _dicts(child)
    if isinstance(value, dict):
        yield value
