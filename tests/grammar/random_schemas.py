"""Random JSON schemas, from seeds: what the common keywords combine to, in the manner of real ones.

Schema and witness are drawn together, so that what is satisfiable is known. Keywords that no
grammar can express in general (``uniqueItems``, ``contains``, ``not``, conditions) are as rare as
they are in descriptions of functions and messages: about one schema of thirty has any of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.grammar.random_leaves import (
    Drawn,
    Rng,
    random_const,
    random_enum,
    random_integer,
    random_names,
    random_number,
    random_string,
)

MAX_DEPTH = 4
RARE = 0.0025
"""How often an object or array has one certain keyword of those that cannot be enforced."""


@dataclass(frozen=True, slots=True)
class RandomSchema:
    """A schema; ``witness`` is a value that it accepts, meaningless where there is none."""

    seed: int
    schema: Any
    witness: Any
    is_satisfiable: bool

    def __str__(self) -> str:
        return f"schema {self.seed}"


UNSATISFIABLE: list[Any] = [
    False,
    {"type": "integer", "minimum": 5, "maximum": 3},
    {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 4},
    {"type": "number", "exclusiveMinimum": 1, "maximum": 1},
    {"type": "string", "minLength": 3, "maxLength": 2},
    {"type": "string", "const": 3},
    {"type": "integer", "enum": ["a", "b"]},
    {"type": "array", "minItems": 3, "maxItems": 2},
    {"type": "array", "minItems": 1, "items": False},
    {"allOf": [{"type": "string"}, {"type": "number"}]},
    {"anyOf": [False, {"type": "string", "minLength": 2, "maxLength": 1}]},
    {"type": "object", "required": ["a"], "additionalProperties": False},
    {"type": "object", "properties": {"a": False}, "required": ["a"]},
    {"type": "string", "pattern": "^[a-c]{2}$", "minLength": 3},
    {"type": "integer", "multipleOf": 10, "minimum": 1, "maximum": 9},
    {"type": "object", "minProperties": 1, "additionalProperties": False},
]


def random_schema(seed: int) -> RandomSchema:
    """The schema of a seed: nested at most to ``MAX_DEPTH``."""
    rng = random.Random(f"schema {seed}")
    builder = SchemaBuilder(rng)
    drawn = builder.root()
    is_satisfiable = rng.random() >= 0.03
    schema = drawn.schema
    if not is_satisfiable:
        schema = rng.choice(UNSATISFIABLE)
        if rng.random() < 0.5:
            schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    if builder.definitions and isinstance(schema, dict):
        definitions = {name: part.schema for name, part in builder.definitions}
        schema = schema | {builder.definitions_name: definitions}
    return RandomSchema(seed, schema, drawn.witness, is_satisfiable)


class SchemaBuilder:
    """Draws one schema; ``definitions`` are what it may refer to."""

    def __init__(self, rng: Rng) -> None:
        self.rng = rng
        self.definitions: list[tuple[str, Drawn]] = []
        # An older dialect says some things in other words.
        self.is_draft7 = rng.random() < 0.12
        self.definitions_name = "definitions" if self.is_draft7 else "$defs"

    def root(self) -> Drawn:
        """The whole schema without its definitions."""
        if self.rng.random() < 0.2:
            for name in self.rng.sample(["node", "Item", "größe", "a b", "v1.Spec"], 2):
                self.definitions.append((name, self._definition(name)))
        kinds = [self.object, self.array, self.composed, self.leaf]
        drawn = self.rng.choices(kinds, [80, 8, 6, 6])[0](0)
        if isinstance(drawn.schema, dict) and "$ref" not in drawn.schema:
            head = {}
            if self.is_draft7:
                head = {"$schema": "http://json-schema.org/draft-07/schema#"}
            elif self.rng.random() < 0.2:
                head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
            return Drawn(head | drawn.schema, drawn.witness)
        return drawn

    def any(self, depth: int) -> Drawn:
        """A schema of any kind."""
        if depth >= MAX_DEPTH:
            return self.leaf(depth)
        kinds = [self.leaf, self.object, self.array, self.composed, self._reference]
        drawn = self.rng.choices(kinds, [58, 18, 12, 9, 6])[0](depth)
        return self._annotated(drawn)

    def _annotated(self, drawn: Drawn) -> Drawn:
        if not isinstance(drawn.schema, dict) or self.rng.random() < 0.7:
            return drawn
        notes = {
            "title": "A thing",
            "description": 'What it "is" — größe, {braces} and \\ too',
            "default": drawn.witness,
            "examples": [drawn.witness],
            "$comment": "for people",
            "deprecated": True,
            "readOnly": False,
        }
        chosen = self.rng.choices(list(notes), [20, 60, 15, 6, 2, 1, 1], k=2)
        return Drawn({name: notes[name] for name in chosen} | drawn.schema, drawn.witness)

    def leaf(self, depth: int) -> Drawn:
        """A schema of plain values."""
        kinds: dict[Callable[[Rng], Drawn], int] = {
            random_string: 50,
            random_integer: 18,
            random_number: 10,
            random_enum: 10,
            random_const: 3,
            _random_boolean: 10,
            _random_null: 1,
            _random_list_of_types: 4,
            _random_anything: 1,
        }
        return self.rng.choices(list(kinds), list(kinds.values()))[0](self.rng)

    # -------------------------------------------------------------------------------- objects

    def object(self, depth: int) -> Drawn:
        """An object: named properties, or a map from names to values."""
        return self._map(depth) if self.rng.random() < 0.08 else self._record(depth)

    def _record(self, depth: int) -> Drawn:
        rng = self.rng
        names = random_names(rng, rng.choice([0, 1, 1, 2, 2, 3, 3, 4, 6]))
        parts = {name: self.any(depth + 1) for name in names}
        required = [name for name in names if rng.random() < 0.5]
        present = [name for name in names if name in required or rng.random() < 0.5]
        schema: dict[str, Any] = {"properties": {name: parts[name].schema for name in names}}
        if rng.random() < 0.95:
            schema = {"type": "object"} | schema
        if required and rng.random() < 0.95:
            schema["required"] = rng.sample(required, len(required))
        witness = {name: parts[name].witness for name in present}
        self._additional(schema, witness, depth)
        self._relations(schema, witness, names)
        return Drawn(schema, witness)

    def _additional(self, schema: dict[str, Any], witness: dict[str, Any], depth: int) -> None:
        """What other properties may be; now and then the witness has one, or it is required."""
        rng = self.rng
        flavour = rng.choices(["absent", "false", "true", "schema"], [52, 36, 5, 7])[0]
        if flavour in ("false", "true"):
            schema["additionalProperties"] = flavour == "true"
        elif flavour == "schema":
            part = self.any(depth + 1)
            schema["additionalProperties"] = part.schema
            if rng.random() < 0.3:
                witness["other"] = part.witness
                if rng.random() < 0.3:
                    schema["required"] = [*schema.get("required", []), "other"]
        if rng.random() < 0.02:
            part = self.any(depth + 1)
            schema["patternProperties"] = {"^x-": part.schema}
            witness["x-1"] = part.witness

    def _relations(self, schema: dict[str, Any], witness: dict[str, Any], names: list[str]) -> None:
        """Keywords about several properties: all rare."""
        rng = self.rng
        if rng.random() < 0.006:
            schema["minProperties"] = rng.randint(0, len(witness))
        if rng.random() < 0.004:
            schema["maxProperties"] = len(witness) + rng.randint(0, 3)
        if len(witness) >= 2 and rng.random() < 0.006:
            first, second = list(witness)[:2]
            schema["anyOf"] = [{"required": [first]}, {"required": [second]}]
        if len(witness) >= 2 and rng.random() < RARE:
            first, second = list(witness)[:2]
            word = "dependencies" if self.is_draft7 else "dependentRequired"
            schema[word] = {first: [second]}
        if witness and rng.random() < RARE:
            name = next(iter(witness))
            schema["if"] = {"required": [name]}
            schema["then"] = {"required": list(witness)}
        if names and rng.random() < RARE:
            schema["not"] = {"required": ["forbidden"]}

    def _map(self, depth: int) -> Drawn:
        rng = self.rng
        part = self.any(depth + 1)
        names = rng.sample(["a", "b", "key", "other", "zz"], rng.randint(0, 3))
        schema: dict[str, Any] = {"type": "object", "additionalProperties": part.schema}
        if rng.random() < 0.15:
            schema = {
                "type": "object",
                "patternProperties": {"^[a-z]+$": part.schema},
                "additionalProperties": False,
            }
        if rng.random() < 0.02:
            schema["propertyNames"] = {"pattern": "^[a-z]+$"}
        if rng.random() < 0.1:
            schema["minProperties"] = len(names)
        if rng.random() < 0.05:
            schema["maxProperties"] = len(names) + 2
        return Drawn(schema, dict.fromkeys(names, part.witness))

    # --------------------------------------------------------------------------------- arrays

    def array(self, depth: int) -> Drawn:
        """An array: of one kind of items, or with a schema for each place."""
        rng = self.rng
        if rng.random() < 0.07:
            return self._tuple(depth)
        part = self.any(depth + 1)
        schema: dict[str, Any] = {"type": "array", "items": part.schema}
        witness = [part.witness] * rng.choice([0, 1, 1, 2, 3])
        if rng.random() < 0.04:
            del schema["items"]
        if rng.random() < 0.2:
            schema["minItems"] = rng.randint(0, len(witness))
        if rng.random() < 0.15:
            schema["maxItems"] = len(witness) + rng.choice([0, 1, 5, 100])
        if len(witness) <= 1 and rng.random() < 0.012:
            schema["uniqueItems"] = True
        if witness and rng.random() < 2 * RARE:
            schema["contains"] = {"const": witness[0]}
        return Drawn(schema, witness)

    def _tuple(self, depth: int) -> Drawn:
        rng = self.rng
        parts = [self.any(depth + 1) for _ in range(rng.randint(1, 3))]
        places, others = "prefixItems", "items"
        if self.is_draft7:
            places, others = "items", "additionalItems"
        schema: dict[str, Any] = {"type": "array", places: [part.schema for part in parts]}
        witness = [part.witness for part in parts]
        flavour = rng.choice(["closed", "open", "more"])
        if flavour == "closed":
            schema[others] = False
        if flavour == "more":
            rest = self.any(depth + 1)
            schema[others] = rest.schema
            witness += [rest.witness] * rng.randint(0, 2)
        if rng.random() < 0.5:
            schema["minItems"] = rng.randint(0, len(witness))
        return Drawn(schema, witness)

    # --------------------------------------------------------------------- several schemas in one

    def composed(self, depth: int) -> Drawn:
        """anyOf, oneOf or allOf."""
        kinds = [self._any_of, self._one_of, self._tagged, self._constants, self._all_of]
        return self.rng.choices(kinds, [50, 12, 14, 10, 14])[0](depth)

    def _any_of(self, depth: int) -> Drawn:
        parts = [self.any(depth + 1) for _ in range(self.rng.randint(1, 3))]
        if self.rng.random() < 0.4:
            parts.append(Drawn({"type": "null"}, None))
        chosen = self.rng.choice(parts)
        return Drawn({"anyOf": [part.schema for part in parts]}, chosen.witness)

    def _one_of(self, depth: int) -> Drawn:
        """Of different types, so that no value fits two of them."""
        rng = self.rng
        number = random_integer(rng) if rng.random() < 0.5 else random_number(rng)
        parts = [random_string(rng), number, self.array(depth + 1), _random_null(rng)]
        parts = rng.sample(parts, rng.randint(2, 4))
        return Drawn({"oneOf": [part.schema for part in parts]}, rng.choice(parts).witness)

    def _tagged(self, depth: int) -> Drawn:
        """Objects that are told apart by a constant."""
        rng = self.rng
        parts = []
        for tag in rng.sample(["circle", "square", "größe", "none"], rng.randint(2, 3)):
            part = self.any(depth + 1)
            schema = {
                "type": "object",
                "properties": {"kind": {"const": tag}, "value": part.schema},
                "required": ["kind", "value"],
            }
            if rng.random() < 0.5:
                schema["additionalProperties"] = False
            parts.append(Drawn(schema, {"kind": tag, "value": part.witness}))
        word = rng.choice(["oneOf", "anyOf"])
        return Drawn({word: [part.schema for part in parts]}, rng.choice(parts).witness)

    def _constants(self, depth: int) -> Drawn:
        values = self.rng.sample(["low", "mid", "high", 1, 2, None, "größe"], 3)
        cases = [{"const": value, "description": f"case {value}"} for value in values]
        return Drawn({"oneOf": cases}, self.rng.choice(values))

    def _all_of(self, depth: int) -> Drawn:
        rng = self.rng
        flavour = rng.choice(["one", "records", "bounds"])
        if flavour == "one":
            part = self.any(depth + 1)
            return Drawn({"allOf": [part.schema]}, part.witness)
        if flavour == "bounds":
            number = {"type": "integer", "minimum": -5}
            return Drawn({"allOf": [number, {"maximum": rng.randint(0, 50)}]}, 0)
        first, second = self.any(depth + 1), self.any(depth + 1)
        schemas = [
            {"type": "object", "properties": {"first": first.schema}, "required": ["first"]},
            {"properties": {"second": second.schema}},
        ]
        return Drawn({"allOf": schemas}, {"first": first.witness, "second": second.witness})

    # ----------------------------------------------------------------------------- references

    def _reference(self, depth: int) -> Drawn:
        if not self.definitions:
            return self.leaf(depth)
        name, part = self.rng.choice(self.definitions)
        pointer = name.replace("~", "~0").replace("/", "~1").replace(" ", "%20")
        return Drawn({"$ref": f"#/{self.definitions_name}/{pointer}"}, part.witness)

    def _definition(self, name: str) -> Drawn:
        """A schema that is referred to by name; "node" refers to itself."""
        if name != "node":
            return self.any(MAX_DEPTH - 2)
        me = {"$ref": f"#/{self.definitions_name}/node"}
        value = self.leaf(MAX_DEPTH)
        flavours: dict[str, Drawn] = {
            "children": Drawn({"type": "array", "items": me}, []),
            "next": Drawn({"anyOf": [me, {"type": "null"}]}, None),
            "byName": Drawn({"type": "object", "additionalProperties": me}, {}),
        }
        link = self.rng.choice(list(flavours))
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {"value": value.schema, link: flavours[link].schema},
            "required": ["value"] if self.rng.random() < 0.5 else ["value", link],
        }
        if self.rng.random() < 0.6:
            schema["additionalProperties"] = False
        return Drawn(schema, {"value": value.witness, link: flavours[link].witness})


def _random_boolean(rng: Rng) -> Drawn:
    return Drawn({"type": "boolean"}, rng.random() < 0.5)


def _random_null(rng: Rng) -> Drawn:
    return Drawn({"type": "null"}, None)


def _random_anything(rng: Rng) -> Drawn:
    return Drawn(rng.choice([True, {}]), {"anything": [1, "é"]})


def _random_list_of_types(rng: Rng) -> Drawn:
    """Several types at once; keywords hold for the values that they are about."""
    part = rng.choice([random_string, random_integer, random_number])(rng)
    others = rng.sample(["null", "boolean", "array", "object"], rng.randint(1, 2))
    return Drawn(part.schema | {"type": [part.schema["type"], *others]}, part.witness)
