"""Random schemas of strings, numbers and constants, each with a value that it accepts."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any, NamedTuple

Rng = random.Random


class Drawn(NamedTuple):
    """A schema, and a witness: a value that it accepts."""

    schema: Any
    witness: Any


PLAIN_NAMES = (
    "id name type title description status count price items tags address city email url value "
    "created_at updatedAt user-id isActive metadata version enabled parent children latitude "
    "x y a b name_ namespace"
).split()
ODD_NAMES = [
    *["", "größe", "名前", "ключ", "🙂", "é", 'say "hi"', "back\\slash", "new\nline", "tab\t"],
    *["a.b", "a/b", "a~b", "$ref", "$id", "@type", "with space", "properties", "type ", "0", "-"],
    *["x" * 70, "'", "{", "}", "<tool_call>", "null", "\u0001", "Ω≈ç√"],
]
STRINGS = [
    *["", "a", "active", "Inactive", "N/A", "us-east-1", "v1.2.3", "größe", "日本", '"quoted"'],
    *["a\\b", "line\nbreak", "🙂🙂", "true", "0", " ", "kg", "EUR", "x" * 40, "tab\there"],
]
PATTERNS = [
    (r"^[a-z]+$", "abc"),
    (r"^[A-Z]{2}$", "DE"),
    (r"^\d{3}-\d{4}$", "555-1234"),
    (r"^[A-Za-z0-9_-]{1,20}$", "user_1"),
    (r"^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$", "#ff0099"),
    (r"^\w+@\w+\.com$", "joe@example.com"),
    (r"^(\d+)(\.\d+){0,2}$", "1.20.3"),
    (r"^[^\s]+$", "no-spaces"),
    (r"^https?://", "https://example.org/a"),
    (r"\.json$", "a.json"),
    (r"[0-9]", "room 7"),
    (r"^$|^[a-f]{2,4}$", "abcd"),
    (r"^.{3,5}$", "four"),
    (r"^\S+\s\S+$", "two words"),
    (r"^(foo|bar|größe)?-x$", "größe-x"),
    (r"^arn:aws:[a-z]+:[^:]*:\d{12}:.+$", "arn:aws:sqs::123456789012:queue"),
    (r"^\W$", "-"),
    (r"^\D{2}$", "ab"),
    (r"^[\w.]+$", "a.b"),
    (r"^\u00e9+$", "éé"),
    (r"^a\/b\-c$", "a/b-c"),
    (r"^(?:ab|cd)+?e$", "abcde"),
]
"""Patterns in the manner of real schemas; they mean nearly the same in Python and ECMA-262."""

FORMATS = {
    "date-time": "2024-02-29T12:30:45Z",
    "date": "2023-11-05",
    "time": "12:30:45Z",
    "email": "joe@example.com",
    "uri": "https://example.org/a?b=c",
    "uuid": "3e4666bf-d5e5-4aa7-b8ce-cefe41c7568a",
    "ipv4": "192.168.0.1",
    "ipv6": "2001:db8::1",
    "hostname": "example.org",
    "duration": "P3D",
}


def random_string(rng: Rng) -> Drawn:
    """A string, often plain, sometimes with a length, a pattern or a format."""
    flavour = rng.choices(["plain", "length", "pattern", "format", "both"], [58, 16, 12, 12, 2])[0]
    schema: dict[str, Any] = {"type": "string"}
    witness = rng.choice(STRINGS)
    if flavour == "length":
        schema |= _some_bounds(rng, len(witness), "minLength", "maxLength")
    elif flavour == "pattern":
        schema["pattern"], witness = rng.choice(PATTERNS)
    elif flavour == "format":
        schema["format"] = rng.choice(list(FORMATS))
        witness = FORMATS[schema["format"]]
    elif flavour == "both":
        schema["pattern"], witness = rng.choice(PATTERNS)
        schema |= _some_bounds(rng, len(witness), "minLength", "maxLength")
    return Drawn(schema, witness)


def _some_bounds(rng: Rng, length: int, lower: str, upper: str) -> dict[str, int]:
    bounds = {}
    if rng.random() < 0.6:
        bounds[lower] = rng.randint(0, length)
    if rng.random() < 0.6 or not bounds:
        bounds[upper] = length + rng.choice([0, 1, 3, 20, 200])
    return bounds


def random_integer(rng: Rng) -> Drawn:
    """An integer, sometimes bounded or a multiple."""
    witness = rng.choice([0, 1, -1, 7, 10, 42, 99, 100, -17, 255, 1000, 65535, 2**31, -(10**12)])
    schema: dict[str, Any] = {"type": "integer"}
    if rng.random() < 0.06:
        step = rng.choice([1, 2, 3, 5, 10, 100])
        schema["multipleOf"], witness = step, witness // step * step
    return Drawn(schema | _number_bounds(rng, Decimal(witness), [0, 1, 5, 100, 10**6]), witness)


def random_number(rng: Rng) -> Drawn:
    """A number, sometimes bounded or a multiple; bounds with decimals are frequent."""
    witness = Decimal(rng.choice("0 1 -1 0.5 3.14 -2.75 100 1e-3 12345.678 -0.001 1e10".split()))
    schema: dict[str, Any] = {"type": "number"}
    if rng.random() < 0.06:
        step = rng.choice([1, 2, 5, 0.5, 0.25, 0.1, 0.01])
        schema["multipleOf"] = step
        witness = witness // Decimal(str(step)) * Decimal(str(step))
    bounds = _number_bounds(rng, witness, [0, 1, 0.5, 0.1, 100, 1e6])
    return Drawn(schema | bounds, _as_json(witness))


def _number_bounds(rng: Rng, witness: Decimal, gaps: list[float]) -> dict[str, Any]:
    """Bounds on either side of the witness, inclusive or exclusive; for most numbers none."""
    bounds: dict[str, Any] = {}
    if rng.random() < 0.3:
        gap = Decimal(str(rng.choice(gaps)))
        name = "exclusiveMinimum" if gap and rng.random() < 0.25 else "minimum"
        bounds[name] = _as_json(witness - gap)
    if rng.random() < 0.22:
        gap = Decimal(str(rng.choice(gaps)))
        name = "exclusiveMaximum" if gap and rng.random() < 0.25 else "maximum"
        bounds[name] = _as_json(witness + gap)
    return bounds


def _as_json(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def random_enum(rng: Rng) -> Drawn:
    """One of a few values: mostly strings, sometimes of several types."""
    if rng.random() < 0.8:
        values: list[Any] = rng.sample(STRINGS, rng.randint(1, 6))
    else:
        values = rng.sample([1, 2.5, -3, None, True, "x", "größe", [], [1, "a"], {"a": 1}, {}], 4)
    schema: dict[str, Any] = {"enum": values}
    if all(isinstance(value, str) for value in values) and rng.random() < 0.7:
        schema = {"type": "string"} | schema
    return Drawn(schema, rng.choice(values))


def random_const(rng: Rng) -> Drawn:
    """Exactly one value."""
    value = rng.choice([*STRINGS, 0, 1, -2.5, True, False, None, [], {"a": [1, "b"]}, [[]]])
    schema: dict[str, Any] = {"const": value}
    if isinstance(value, str) and rng.random() < 0.4:
        schema["type"] = "string"
    return Drawn(schema, value)


def random_names(rng: Rng, count: int) -> list[str]:
    """Names of properties, no two alike; about one of twelve is odd."""
    names: dict[str, None] = {}
    while len(names) < count:
        names[rng.choice(ODD_NAMES if rng.random() < 0.08 else PLAIN_NAMES)] = None
    return list(names)
