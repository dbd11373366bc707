"""Grammars by llguidance: an Earley parser over lexemes, whose automata are built as they are used.

Nothing is computed ahead: a grammar compiles in a millisecond, a mask takes some ten microseconds
more than a table would. Its limits of work per mask are what stops a grammar that explodes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

from sglite.errors import ConfigError, RequestError
from sglite.grammar.backend import GrammarTooComplexError, Words
from sglite.grammar.ebnf_parser import parse_ebnf
from sglite.grammar.expressions import rust_regex
from sglite.grammar.lark import lark_of_ebnf, lark_of_tags
from sglite.grammar.limits import parse_json
from sglite.grammar.regex_parser import parse_regex
from sglite.grammar.schema_closing import close_objects
from sglite.grammar.schema_keywords import (
    Enforced,
    has_open_names,
    is_exact,
    not_enforced,
    prepare_schema,
)
from sglite.grammar.schema_relations import rewrite_relations
from sglite.grammar.specs import Whitespace, parse_choices
from sglite.grammar.structural_tag import JsonContent, map_contents, parse_structural_tag
from sglite.grammar.vocabulary import Vocabulary
from sglite.request import GrammarSpec

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions


def _find_unsure(schema: dict[str, Any]) -> set[str]:
    """Keywords that llguidance knows, but does not enforce so that every validator is content."""
    unsure = set()
    least = schema.get("minProperties")
    if isinstance(least, int) and least > 1 and has_open_names(schema):
        # The same name twice is one property to whoever parses the text.
        unsure.add("minProperties")
    if "multipleOf" in schema and not is_exact(schema["multipleOf"]):
        # 0.07 is no multiple of 0.01 in double precision, in which validators divide.
        unsure.add("multipleOf")
    return unsure


ENFORCED = Enforced(
    keywords=frozenset(
        "$defs $ref additionalItems additionalProperties allOf anyOf const definitions enum "
        "exclusiveMaximum exclusiveMinimum items maxItems maxLength maxProperties maximum minItems "
        "minLength minProperties minimum multipleOf oneOf pattern patternProperties prefixItems "
        "properties required type".split()
    ),
    formats=frozenset("date date-time duration email hostname ipv4 ipv6 time uri uuid".split()),
    find_unsure=_find_unsure,
    rewrite=rewrite_relations,
)
"""Found by experiment with version 1.9, tests/grammar/test_llguidance_backend.py."""

ESCAPES = 'bfnrt\\"'
"""Not by number: a name of a property that is written so would escape what holds for it."""

MAX_LEXER_STATES = 50_000
"""States that one text may visit, 1-2 KB each; a text of some thousand tokens visits hundreds."""
MAX_GRAMMAR_SIZE = 200_000
STEP_LEXER_FUEL = 200_000
STEP_MAX_ITEMS = 100_000

GRAMMAR_BYTES = 64 * 1024
BYTES_PER_CHAR = 40
"""Estimate of a compiled grammar's memory: a base, and so much for each character of its text."""


class LlguidanceMatcher:
    """One text in a grammar of llguidance; see :class:`sglite.grammar.backend.Matcher`."""

    def __init__(self, native: LLMatcher, end_id: int) -> None:
        self.native = native
        self._end_word, self._end_bit = end_id >> 5, np.int32(~np.uint32(1 << (end_id & 31)))
        self._end_id = end_id

    def fill_mask(self, words_W: Words) -> None:
        """Set the bits of all tokens that may come next, clear the others."""
        if self.native.is_stopped():
            self.check()
            words_W[:] = 0
            return
        self.native.unsafe_compute_mask_ptr(words_W.ctypes.data, words_W.nbytes)
        self.check()
        words_W[self._end_word] &= self._end_bit

    def accept(self, token_ids: Sequence[int]) -> int:
        """Take tokens as far as they are allowed; how many were."""
        texts = self._texts(token_ids)
        count = self.native.try_consume_tokens(texts)
        if count < len(texts):
            self.check()
        return count

    def count_allowed(self, token_ids: Sequence[int]) -> int:
        """How many of the tokens :meth:`accept` would take."""
        return self.native.validate_tokens(self._texts(token_ids))

    def ends_after(self, token_ids: Sequence[int]) -> bool:
        """True where all of the tokens are allowed and the text may end after them."""
        if not token_ids:
            return self.native.is_accepting()
        # Behind an end token nothing is allowed, so one among the tokens is noticed.
        return self.native.validate_tokens([*token_ids, self._end_id]) == len(token_ids) + 1

    def roll_back(self, num_tokens: int) -> None:
        """Take back the last tokens accepted."""
        if num_tokens and not self.native.rollback(num_tokens):
            self.check()

    def forced_tokens(self) -> list[int]:
        """The tokens that every text from here on begins with."""
        forced = self.native.compute_ff_tokens()
        return forced if self._end_id not in forced else [i for i in forced if i != self._end_id]

    def fork(self) -> LlguidanceMatcher:
        """A matcher of its own at the same place."""
        return LlguidanceMatcher(self.native.deep_copy(), self._end_id)

    @property
    def is_accepting(self) -> bool:
        """True where the text may end here."""
        return self.native.is_accepting()

    @property
    def is_complete(self) -> bool:
        """True where it must end here."""
        return self.native.is_stopped() and self.native.is_accepting()

    def _texts(self, token_ids: Sequence[int]) -> list[int]:
        """The tokens before one that ends the text."""
        texts = list(token_ids)
        return texts[: texts.index(self._end_id)] if self._end_id in texts else texts

    def check(self) -> None:
        """Raise GrammarTooComplexError where the library gave up."""
        if self.native.is_error():
            raise GrammarTooComplexError(_first_lines(self.native.get_error()))


class LlguidanceGrammar:
    """A compiled grammar: a matcher at the start, of which texts get copies."""

    def __init__(
        self, matcher: LlguidanceMatcher, ignored_keywords: tuple[str, ...], num_bytes: int
    ) -> None:
        self._matcher = matcher
        self.ignored_keywords = ignored_keywords
        self.num_bytes = num_bytes

    def start(self) -> LlguidanceMatcher:
        """A matcher before the first token."""
        return self._matcher.fork()


class LlguidanceBackend:
    """Compiles grammars for one vocabulary by llguidance.

    Raises ConfigError where every token of the vocabulary is text: llguidance wants one that
    ends a text.
    """

    name = "llguidance"

    def __init__(self, vocabulary: Vocabulary, *, whitespace: Whitespace) -> None:
        no_text = (i for i, piece in enumerate(vocabulary.pieces) if not piece)
        end_id = next(no_text, None)
        if end_id is None:
            raise ConfigError(
                "--grammar-backend llguidance needs a vocabulary with a token that ends an answer"
            )
        self._end_id = end_id
        self._whitespace = whitespace
        self._tokenizer = LLTokenizer(TokenizerWrapper(_TokenTable(vocabulary, end_id)))
        self._limits = LLParserLimits(
            step_lexer_fuel=STEP_LEXER_FUEL,
            step_max_items=STEP_MAX_ITEMS,
            max_lexer_states=MAX_LEXER_STATES,
            max_grammar_size=MAX_GRAMMAR_SIZE,
            verbose_errors=False,
        )

    def compile(self, spec: GrammarSpec) -> LlguidanceGrammar:
        """Compile; see :class:`sglite.grammar.backend.GrammarBackend`."""
        if spec.kind == "json_schema":
            return self._compile_schema(spec)
        if spec.kind == "structural_tag":
            return self._compile_tag(spec)
        if spec.kind == "regex":
            lark = f"start: /{rust_regex(parse_regex(spec.text))}/"
        elif spec.kind == "choice":
            lark = f"start: /{rust_regex(parse_choices(spec.text))}/"
        else:
            lark = lark_of_ebnf(parse_ebnf(spec.text))
        return self._finish(LLMatcher.grammar_from_lark(lark), spec.kind)

    def _compile_schema(self, spec: GrammarSpec) -> LlguidanceGrammar:
        text = spec.text
        parsed = parse_json(text, spec.kind, what="a schema")
        prepared = prepare_schema(parsed, ENFORCED, ignores_keywords=spec.ignores_keywords)
        options = self._json_options()
        ignored = prepared.ignored
        if self._needs_one_of(prepared.schema, options):
            ignored = tuple(sorted({*ignored, "oneOf"}))
            if not spec.ignores_keywords:
                raise not_enforced(ignored, spec.kind)
            options["coerce_one_of"] = True
        closed = close_objects(prepared.schema)
        grammar = LLMatcher.grammar_from_json_schema(closed, overrides=options)
        return self._finish(grammar, spec.kind, ignored)

    def _compile_tag(self, spec: GrammarSpec) -> LlguidanceGrammar:
        parsed = parse_structural_tag(parse_json(spec.text, spec.kind, what="a structural tag"))
        ignored: set[str] = set()

        def prepare(content: JsonContent) -> JsonContent:
            prepared = prepare_schema(
                content.schema,
                ENFORCED,
                ignores_keywords=spec.ignores_keywords,
                param=content.source,
            )
            options = self._json_options()
            ignored.update(prepared.ignored)
            if self._needs_one_of(prepared.schema, options):
                if not spec.ignores_keywords:
                    raise not_enforced(tuple(sorted({*ignored, "oneOf"})), content.source)
                ignored.add("oneOf")
                options["coerce_one_of"] = True
            return JsonContent({**close_objects(prepared.schema), "x-guidance": options})

        checked = map_contents(parsed, prepare)
        grammar = LLMatcher.grammar_from_lark(lark_of_tags(checked))
        return self._finish(grammar, spec.kind, tuple(sorted(ignored)))

    def _needs_one_of(self, schema: dict[str, Any], options: JsonCompileOptions) -> bool:
        """Whether the schema has a ``oneOf`` whose branches are not known to be disjoint."""
        if "oneOf" not in json.dumps(schema):
            return False
        grammar = LLMatcher.grammar_from_json_schema(schema, overrides=options)
        message = LLMatcher.validate_grammar(grammar, limits=self._limits)
        return "oneOf constraints" in message

    def _json_options(self) -> JsonCompileOptions:
        if self._whitespace == "free":
            return {
                "json_allowed_escapes": ESCAPES,
                "whitespace_flexible": True,
                "whitespace_pattern": r"[ \n\r\t]{1,20}",
                "item_separator": ",",
                "key_separator": ":",
            }
        space = " " if self._whitespace == "single" else ""
        return {
            "json_allowed_escapes": ESCAPES,
            "whitespace_flexible": False,
            "item_separator": f",{space}",
            "key_separator": f":{space}",
        }

    def _finish(self, grammar: str, kind: str, ignored: tuple[str, ...] = ()) -> LlguidanceGrammar:
        native = LLMatcher(self._tokenizer, grammar, log_level=0, limits=self._limits)
        if native.is_error():
            raise RequestError(
                f"{kind} cannot be compiled: {_first_lines(native.get_error())}", param=kind
            )
        matcher = LlguidanceMatcher(native, self._end_id)
        words_W = np.zeros((self._tokenizer.vocab_size + 31) // 32, np.int32)
        try:
            matcher.fill_mask(words_W)
        except GrammarTooComplexError as error:
            is_empty = "NoExtension" in str(error)
            what = "cannot be fulfilled: no text fits" if is_empty else f"is too complex: {error}"
            raise RequestError(f"{kind} {what}", param=kind) from error
        if not words_W.any() and not matcher.is_accepting:
            raise RequestError(
                f"{kind} cannot be fulfilled: no text of this model's tokens fits", param=kind
            )
        return LlguidanceGrammar(matcher, ignored, GRAMMAR_BYTES + BYTES_PER_CHAR * len(grammar))


class _TokenTable:
    """What llguidance asks a tokenizer for."""

    bos_token_id = None

    def __init__(self, vocabulary: Vocabulary, end_id: int) -> None:
        self.eos_token_id = end_id
        self.tokens = list(vocabulary.pieces)
        self.special_token_ids = [i for i, piece in enumerate(vocabulary.pieces) if not piece]
        self._encode = vocabulary.make_encode()

    def __call__(self, part: bytes | str) -> list[int]:
        return self._encode(part.encode("utf-8") if isinstance(part, str) else part)


def _first_lines(message: str) -> str:
    return " ".join(message.split("<state>")[0].split())[:300]
