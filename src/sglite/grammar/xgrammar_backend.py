"""Grammars by xgrammar, which computes masks ahead where they do not depend on the text before.

It imports torch and transformers, so that whatever process compiles with it starts slowly.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
import xgrammar

from sglite.errors import RequestError
from sglite.grammar import structural_tag as tags
from sglite.grammar.backend import Words
from sglite.grammar.ebnf_parser import ROOT, parse_ebnf
from sglite.grammar.expressions import Expression, Ref, ebnf, map_refs
from sglite.grammar.limits import parse_json
from sglite.grammar.regex_parser import parse_regex
from sglite.grammar.schema_keywords import prepare_schema
from sglite.grammar.specs import Whitespace, parse_choices
from sglite.grammar.vocabulary import Vocabulary
from sglite.grammar.xgrammar_schema import ENFORCED, write_pattern
from sglite.request import GrammarSpec

MAX_WHITESPACE = 20


class XgrammarMatcher:
    """One text in a grammar of xgrammar; see :class:`sglite.grammar.backend.Matcher`."""

    def __init__(self, native: xgrammar.GrammarMatcher, tokens: _Tokens) -> None:
        self._native = native
        self._tokens = tokens

    def fill_mask(self, words_W: Words) -> None:
        """Set the bits of all tokens that may come next, clear the others."""
        self._native.fill_next_token_bitmask(words_W.reshape(1, -1), 0)
        words_W &= self._tokens.text_words_W

    def accept(self, token_ids: Sequence[int]) -> int:
        """Take tokens as far as they are allowed; how many were."""
        count = 0
        for token_id in token_ids:
            if not self._tokens.is_text(token_id) or not self._native.accept_token(token_id):
                break
            count += 1
        return count

    def count_allowed(self, token_ids: Sequence[int]) -> int:
        """How many of the tokens :meth:`accept` would take."""
        count = self.accept(token_ids)
        self.roll_back(count)
        return count

    def ends_after(self, token_ids: Sequence[int]) -> bool:
        """True where all of the tokens are allowed and the text may end after them."""
        count = self.accept(token_ids)
        is_end = count == len(token_ids) and self.is_accepting
        self.roll_back(count)
        return is_end

    def roll_back(self, num_tokens: int) -> None:
        """Take back the last tokens accepted."""
        if num_tokens:
            self._native.rollback(num_tokens)

    def forced_tokens(self) -> list[int]:
        """The tokens that every text from here on begins with."""
        try:
            forced = self._native.find_jump_forward_string().encode("utf-8")
        except UnicodeDecodeError:  # it would begin or end within a character
            return []
        token_ids = self._tokens.encode(forced) if forced else []
        count = self.count_allowed(token_ids)
        return self._tokens.without_open_end(token_ids[:count])

    def fork(self) -> XgrammarMatcher:
        """A matcher of its own at the same place."""
        return XgrammarMatcher(self._native.fork(), self._tokens)

    @property
    def is_accepting(self) -> bool:
        """True where the text may end here."""
        return bool(self._native.is_completed())

    @property
    def is_complete(self) -> bool:
        """True where it must end here."""
        if not self.is_accepting:
            return False
        words_W = np.zeros_like(self._tokens.text_words_W)
        self.fill_mask(words_W)
        return not words_W.any()


class XgrammarGrammar:
    """A compiled grammar; texts get matchers over it."""

    def __init__(
        self, native: xgrammar.CompiledGrammar, tokens: _Tokens, ignored_keywords: tuple[str, ...]
    ) -> None:
        self._native = native
        self._tokens = tokens
        self.ignored_keywords = ignored_keywords
        self.num_bytes = int(native.memory_size_bytes)

    def start(self) -> XgrammarMatcher:
        """A matcher before the first token."""
        return XgrammarMatcher(xgrammar.GrammarMatcher(self._native), self._tokens)


class XgrammarBackend:
    """Compiles grammars for one vocabulary by xgrammar."""

    name = "xgrammar"

    def __init__(self, vocabulary: Vocabulary, *, whitespace: Whitespace) -> None:
        self._tokens = _Tokens(vocabulary)
        self._whitespace = whitespace
        no_text = [i for i, piece in enumerate(vocabulary.pieces) if not piece]
        info = xgrammar.TokenizerInfo(
            list(vocabulary.pieces),
            xgrammar.VocabType.RAW,
            vocab_size=len(vocabulary.pieces),
            stop_token_ids=no_text[:1],
        )
        self._compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)

    def compile(self, spec: GrammarSpec) -> XgrammarGrammar:
        """Compile; see :class:`sglite.grammar.backend.GrammarBackend`."""
        ignored: tuple[str, ...] = ()
        try:
            if spec.kind == "json_schema":
                native, ignored = self._compile_schema(spec)
            elif spec.kind == "structural_tag":
                native, ignored = self._compile_tag(spec)
            else:
                native = self._compiler.compile_grammar(_ebnf_text(spec))
        except (RuntimeError, ValueError) as error:
            raise RequestError(
                f"{spec.kind} cannot be compiled: {_reason(error)}", param=spec.kind
            ) from error
        grammar = XgrammarGrammar(native, self._tokens, ignored)
        self._check_start(grammar.start(), spec.kind)
        return grammar

    def _compile_schema(self, spec: GrammarSpec) -> tuple[Any, tuple[str, ...]]:
        parsed = parse_json(spec.text, spec.kind, what="a schema")
        prepared = prepare_schema(parsed, ENFORCED, ignores_keywords=spec.ignores_keywords)
        space = " " if self._whitespace == "single" else ""
        native = self._compiler.compile_json_schema(
            prepared.schema,
            any_whitespace=self._whitespace == "free",
            separators=(f",{space}", f":{space}"),
            strict_mode=False,
            max_whitespace_cnt=MAX_WHITESPACE if self._whitespace == "free" else None,
        )
        return native, prepared.ignored

    def _compile_tag(self, spec: GrammarSpec) -> tuple[Any, tuple[str, ...]]:
        parsed = parse_json(spec.text, spec.kind, what="a structural tag")
        ignored: set[str] = set()

        def prepare(content: tags.JsonContent) -> tags.JsonContent:
            prepared = prepare_schema(
                content.schema,
                ENFORCED,
                ignores_keywords=spec.ignores_keywords,
                param=content.source,
            )
            ignored.update(prepared.ignored)
            return tags.JsonContent(prepared.schema)

        checked = tags.map_contents(tags.parse_structural_tag(parsed), prepare)
        written = {"type": "structural_tag", "format": _native_format(checked)}
        native = self._compiler.compile_structural_tag(json.dumps(written))
        return native, tuple(sorted(ignored))

    def _check_start(self, matcher: XgrammarMatcher, kind: str) -> None:
        words_W = np.zeros_like(self._tokens.text_words_W)
        matcher.fill_mask(words_W)
        if not words_W.any() and not matcher.is_accepting:
            raise RequestError(
                f"{kind} cannot be fulfilled: no text of this model's tokens fits", param=kind
            )


class _Tokens:
    """What all matchers of a vocabulary share: which tokens are text, and how text becomes tokens.

    ``text_words_W`` has the bits of all tokens that are text.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._pieces = vocabulary.pieces
        self._sorted = sorted({piece for piece in vocabulary.pieces if piece})
        self.encode = vocabulary.make_encode()
        bits = np.zeros(vocabulary.num_words * 32, np.uint8)
        bits[: len(self._pieces)] = [bool(piece) for piece in self._pieces]
        self.text_words_W: Words = np.packbits(bits, bitorder="little").view(np.int32)

    def is_text(self, token_id: int) -> bool:
        """Whether the token is part of texts."""
        return 0 <= token_id < len(self._pieces) and bool(self._pieces[token_id])

    def without_open_end(self, token_ids: list[int]) -> list[int]:
        """The tokens that stay the same whatever text follows: no other token covers their end."""
        for start in range(len(token_ids)):
            tail = b"".join(self._pieces[token_id] for token_id in token_ids[start:])
            after = bisect_right(self._sorted, tail)
            if after < len(self._sorted) and self._sorted[after].startswith(tail):
                return token_ids[:start]
        return token_ids


def _ebnf_text(spec: GrammarSpec) -> str:
    if spec.kind == "regex":
        return f"root ::= {ebnf(parse_regex(spec.text))}\n"
    if spec.kind == "choice":
        return f"root ::= {ebnf(parse_choices(spec.text))}\n"
    rules = parse_ebnf(spec.text)
    names = {name: f"rule_{index}" for index, name in enumerate(rules)}
    lines = [f"root ::= {names[ROOT]}"]
    for name, expression in rules.items():
        lines.append(f"{names[name]} ::= {ebnf(_renamed(expression, names))}")
    return "\n".join(lines) + "\n"


def _renamed(expression: Expression, names: dict[str, str]) -> Expression:
    return map_refs(expression, lambda ref: Ref(names[ref.name]))


def _native_format(part: tags.Format) -> dict[str, Any]:
    """A format as xgrammar writes it."""
    if isinstance(part, tags.Regular):
        return {"type": "regex", "pattern": write_pattern(part.expression)}
    if isinstance(part, tags.JsonContent):
        return {"type": "json_schema", "json_schema": part.schema}
    if isinstance(part, tags.AnyText):
        return {"type": "any_text"}
    if isinstance(part, tags.Sequence):
        return {"type": "sequence", "elements": [_native_format(e) for e in part.elements]}
    if isinstance(part, tags.Options):
        return {"type": "or", "elements": [_native_format(e) for e in part.options]}
    if isinstance(part, tags.Tag):
        content = _native_format(part.content)
        return {"type": "tag", "begin": part.begin, "content": content, "end": list(part.ends)}
    shared = {
        "tags": [_native_format(tag) for tag in part.tags],
        "at_least_one": part.at_least_one,
        "stop_after_first": part.stop_after_first,
    }
    if isinstance(part, tags.TriggeredTags):
        return {"type": "triggered_tags", "triggers": list(part.triggers), **shared}
    return {"type": "tags_with_separator", "separator": part.separator, **shared}


def _reason(error: Exception) -> str:
    """The library's message without the place in its source."""
    return " ".join(str(error).split(": ", 1)[-1].split())[:300]
