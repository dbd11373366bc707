"""Grammars over the embedded model's vocabulary, for tests of what stands on a matcher.

A thin layer on llguidance, so that these tests do not depend on a backend of the package.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import llguidance
import numpy as np

from sglite.grammar.backend import GrammarTooComplexError, Words
from sglite.grammar.closing import EndFinder

SEPARATORS = {"whitespace_flexible": False}


@cache
def tokenizer() -> llguidance.LLTokenizer:
    return llguidance.LLTokenizer(str(resources.files("sglite.embedded") / "tokenizer.json"))


@cache
def pieces() -> tuple[bytes, ...]:
    """The bytes of each token, empty for control tokens."""
    every = tokenizer()
    return tuple(
        b"" if every.is_special_token(i) else every.decode_bytes([i])
        for i in range(every.vocab_size)
    )


@cache
def finder() -> EndFinder:
    return EndFinder(pieces())


@dataclass
class LLGuidanceMatcher:
    """A matcher as the package's contract wants it."""

    matcher: llguidance.LLMatcher

    def fill_mask(self, words_W: Words) -> None:
        self.matcher.unsafe_compute_mask_ptr(words_W.ctypes.data, words_W.nbytes)
        if self.matcher.is_error():
            raise GrammarTooComplexError(self.matcher.get_error())
        eos = tokenizer().eos_token
        words_W.view(np.uint32)[eos >> 5] &= ~np.uint32(1 << (eos & 31))

    def accept(self, token_ids: Sequence[int]) -> int:
        return self.matcher.try_consume_tokens(list(token_ids)) if token_ids else 0

    def count_allowed(self, token_ids: Sequence[int]) -> int:
        return self.matcher.validate_tokens(list(token_ids))

    def ends_after(self, token_ids: Sequence[int]) -> bool:
        wanted = [*token_ids, tokenizer().eos_token]
        return self.matcher.validate_tokens(wanted) == len(wanted)

    def roll_back(self, num_tokens: int) -> None:
        assert self.matcher.rollback(num_tokens)

    def forced_tokens(self) -> list[int]:
        eos = tokenizer().eos_token
        return [i for i in self.matcher.compute_ff_tokens() if i != eos]

    def fork(self) -> LLGuidanceMatcher:
        return LLGuidanceMatcher(self.matcher.deep_copy())

    @property
    def is_accepting(self) -> bool:
        return self.matcher.is_accepting()

    @property
    def is_complete(self) -> bool:
        return self.matcher.is_stopped() and self.matcher.is_accepting()


def start(kind: str, text: str) -> LLGuidanceMatcher:
    """A matcher at the start of a ``json``, ``regex`` or ``lark`` grammar."""
    make = llguidance.LLMatcher
    if kind == "json":
        grammar = make.grammar_from_json_schema(text, defaults=SEPARATORS)
    elif kind == "regex":
        grammar = make.grammar_from_regex(text)
    else:
        grammar = make.grammar_from_lark(text)
    matcher = make(tokenizer(), grammar)
    assert not matcher.is_error(), matcher.get_error()
    return LLGuidanceMatcher(matcher)


def new_mask() -> Words:
    return np.zeros((len(pieces()) + 31) // 32, np.int32)


def allowed(words_W: Words) -> list[int]:
    """The tokens of a mask."""
    return np.flatnonzero(np.unpackbits(words_W.view(np.uint8), bitorder="little")).tolist()


def schema(**keywords: object) -> tuple[str, str]:
    return "json", json.dumps(keywords)


def object_of(required: Sequence[str], **properties: object) -> tuple[str, str]:
    return schema(
        type="object",
        properties=properties,
        required=list(required),
        additionalProperties=False,
    )


INTEGER = {"type": "integer"}
STRING = {"type": "string"}
NODE = {"$ref": "#/$defs/node"}
INNER = {
    "type": "object",
    "properties": {"left": NODE, "right": NODE},
    "required": ["left", "right"],
    "additionalProperties": False,
}
LEAF = {
    "type": "object",
    "properties": {"value": {"type": "number"}},
    "required": ["value"],
    "additionalProperties": False,
}
TREE = {"$defs": {"node": {"anyOf": [INNER, LEAF]}}, **NODE}
ARITHMETIC = """start: sum
sum: product (("+" | "-") product)*
product: atom (("*" | "/") atom)*
atom: /[0-9]+/ | "(" sum ")" | "sin(" sum ")"
"""
XML = """start: element
element: "<b>" element* "</b>" | "<item>" element "</item>" | /[a-z]{1,5}/ | "<br/>"
"""
EXPENSIVE_CLOSE = """start: item
item: "a" item "bbbbbbbb" | ""
"""
# name -> (kind, text)
GRAMMARS: dict[str, tuple[str, str]] = {
    "flat object": object_of(["name", "age"], name=STRING, age=INTEGER),
    "nested objects": object_of(
        ["a"],
        a={
            "type": "object",
            "properties": {"b": {"type": "object", "properties": {"c": INTEGER}}},
            "required": ["b"],
        },
    ),
    "optional before required": object_of(["z"], a=STRING, b=INTEGER, z={"type": "boolean"}),
    "many required fields": object_of(
        [f"field_{i}" for i in range(12)], **{f"field_{i}": INTEGER for i in range(12)}
    ),
    "optional fields only": object_of([], a=STRING, b={"type": "array", "items": INTEGER}),
    "minItems": schema(type="array", items=STRING, minItems=4),
    "items between": schema(type="array", items={"enum": ["red", "green"]}, minItems=2, maxItems=3),
    "minLength": object_of(["s"], s={"type": "string", "minLength": 40}),
    "length between": schema(type="string", minLength=7, maxLength=9),
    "enum": schema(enum=["a long and winding answer", "short", 12345, None]),
    "const": schema(const={"a": [1, 2, {"b": "c"}]}),
    "pattern": schema(type="string", pattern="^[A-Z]{2}-[0-9]{6}(x|yz)$"),
    "minimum": schema(type="integer", minimum=123456),
    "between": schema(type="number", minimum=-0.75, exclusiveMaximum=-0.125),
    "multipleOf": schema(type="integer", multipleOf=7, minimum=1000),
    "cheap branch": schema(
        anyOf=[
            {"type": "array", "items": STRING, "minItems": 20},
            {"type": "object", "properties": {"ok": INTEGER}, "required": ["ok"]},
        ]
    ),
    "tree": ("json", json.dumps(TREE)),
    "linked list": schema(
        type="object",
        properties={"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}, "value": INTEGER},
        required=["value", "next"],
        additionalProperties=False,
    ),
    "arrays of arrays": schema(**{"type": "array", "items": {"$ref": "#"}}),
    "any json": schema(),
    "date and time": schema(type="string", format="date-time"),
    "uuid": schema(type="string", format="uuid"),
    "a*b": ("regex", "a*b"),
    "expensive branch": ("regex", "(a{50}|b)c"),
    "endless or one": ("regex", "x|a{300}"),
    "letters": ("regex", "[a-z]{200}"),
    "one way out": ("regex", "[a-y]*z"),
    "hidden branches": ("regex", "[a-p][a-z]*|[q-z][a-z]{60}"),
    "e-mail": ("regex", r"[a-z0-9.]+@[a-z]+\.(com|org)"),
    "phone": ("regex", r"\+[0-9]{2} \([0-9]{3}\) [0-9]{7}"),
    "lines": ("regex", r"([A-Z][a-z]{3,8}: [0-9]{1,3}\n){3}"),
    "unicode": ("regex", "[à-ü]{10}|日本語"),
    "anything": ("regex", r"(.|\n)*"),
    "arithmetic": ("lark", ARITHMETIC),
    "xml": ("lark", XML),
    "expensive close": ("lark", EXPENSIVE_CLOSE),
}
