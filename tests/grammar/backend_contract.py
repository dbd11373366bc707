"""What every grammar backend has to do, whatever its library; see ``sglite.grammar.backend``.

A test module of a backend subclasses :class:`BackendContract`.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sglite.errors import RequestError
from sglite.grammar.backend import GrammarBackend, Matcher
from sglite.grammar.vocabulary import Vocabulary
from sglite.request import GrammarSpec

OBJECT = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 5},
        "ages": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
        "kind": {"enum": ["a", "ab", "b"]},
    },
    "required": ["name", "kind"],
    "additionalProperties": False,
}
TAG = {
    "type": "structural_tag",
    "triggers": ["<f="],
    "structures": [{"begin": "<f=a>", "schema": {"type": "integer"}, "end": "</f>"}],
}
SPECS = {
    "object": GrammarSpec("json_schema", json.dumps(OBJECT)),
    "tree": GrammarSpec(
        "json_schema",
        json.dumps(
            {
                "$ref": "#/$defs/t",
                "$defs": {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}, "maxItems": 2}},
            }
        ),
    ),
    "regex": GrammarSpec("regex", r"(ab|a)?b{2,3}[^\w\s](yes|no)+"),
    "choice": GrammarSpec("choice", json.dumps(["a", "ab", "yes", "é🙂"])),
    "loop": GrammarSpec("ebnf", 'root ::= [a-z]+ "b" | num\nnum ::= [0-9]+ ("." [0-9]+)?'),
    "nested": GrammarSpec("ebnf", 'root ::= "(" root ")" | item\nitem ::= [a-b]{1,3} "a"'),
    "left": GrammarSpec("ebnf", 'root ::= root "+" t | t\nt ::= [0-9]+ | "(" root ")"'),
    "tag": GrammarSpec("structural_tag", json.dumps(TAG)),
}


def allowed_ids(matcher: Matcher, vocabulary: Vocabulary) -> list[int]:
    """Token ids of a mask; bits beyond the vocabulary have to be clear."""
    words_W = np.full(vocabulary.num_words, -1, np.int32)
    matcher.fill_mask(words_W)
    bits = np.unpackbits(words_W.view(np.uint8), bitorder="little")
    assert not bits[len(vocabulary.pieces) :].any()
    return [int(i) for i in np.flatnonzero(bits)]


def random_walk(
    matcher: Matcher, vocabulary: Vocabulary, rng: random.Random, *, num_steps: int
) -> Iterator[int]:
    """Random legal tokens, each taken after it has been given."""
    for _ in range(num_steps):
        allowed = allowed_ids(matcher, vocabulary)
        if not allowed:
            return
        token_id = rng.choice(allowed)
        yield token_id
        assert matcher.accept([token_id]) == 1


def text_of(vocabulary: Vocabulary, token_ids: list[int]) -> bytes:
    """Bytes of tokens."""
    return b"".join(vocabulary.pieces[token_id] for token_id in token_ids)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
class EveryGrammar:
    """Tests that hold for any grammar."""

    def test_mask_is_what_accept_takes(
        self, backend: GrammarBackend, vocabulary: Vocabulary, spec: GrammarSpec
    ) -> None:
        matcher = backend.compile(spec).start()
        for _ in random_walk(matcher, vocabulary, random.Random(1), num_steps=8):
            allowed = set(allowed_ids(matcher, vocabulary))
            acceptable = set()
            for token_id in range(len(vocabulary.pieces)):
                if matcher.accept([token_id]):
                    acceptable.add(token_id)
                    matcher.roll_back(1)
            forced = matcher.forced_tokens()
            assert allowed == acceptable or (allowed == {*forced[:1]} and allowed <= acceptable)
            assert matcher.count_allowed([*allowed][:1]) == 1
            for token_id in sorted(acceptable)[:20]:
                matcher.accept([token_id])
                is_end = matcher.is_accepting
                matcher.roll_back(1)
                assert matcher.ends_after([token_id]) == is_end
            assert matcher.ends_after([]) == matcher.is_accepting
            assert not matcher.ends_after([0])
            assert set(allowed_ids(matcher, vocabulary)) == allowed

    def test_roll_back_restores_masks(
        self, backend: GrammarBackend, vocabulary: Vocabulary, spec: GrammarSpec
    ) -> None:
        rng = random.Random(2)
        matcher = backend.compile(spec).start()
        states = []
        for _ in random_walk(matcher, vocabulary, rng, num_steps=20):
            states.append((allowed_ids(matcher, vocabulary), matcher.is_accepting))
        while states:
            count = rng.randint(1, min(3, len(states)))
            matcher.roll_back(count)
            allowed, is_accepting = states[-count]
            del states[-count:]
            assert allowed_ids(matcher, vocabulary) == allowed
            assert matcher.is_accepting == is_accepting

    def test_forks_are_independent(
        self, backend: GrammarBackend, vocabulary: Vocabulary, spec: GrammarSpec
    ) -> None:
        matcher = backend.compile(spec).start()
        list(random_walk(matcher, vocabulary, random.Random(3), num_steps=3))
        before = allowed_ids(matcher, vocabulary)
        fork = matcher.fork()
        list(random_walk(fork, vocabulary, random.Random(4), num_steps=6))
        assert allowed_ids(matcher, vocabulary) == before

    def test_forced_tokens_begin_every_text(
        self, backend: GrammarBackend, vocabulary: Vocabulary, spec: GrammarSpec
    ) -> None:
        for seed in range(3):
            matcher = backend.compile(spec).start()
            taken: list[int] = []
            wanted = b""
            for token_id in random_walk(matcher, vocabulary, random.Random(seed), num_steps=20):
                forced = matcher.forced_tokens()
                assert matcher.count_allowed(forced) == len(forced)
                forced_text = text_of(vocabulary, [*taken, *forced])
                wanted = max(wanted, forced_text, key=len)
                taken.append(token_id)
                text = text_of(vocabulary, taken)
                shared = min(len(text), len(wanted))
                assert text[:shared] == wanted[:shared]

    def test_complete_is_accepting_with_nothing_to_follow(
        self, backend: GrammarBackend, vocabulary: Vocabulary, spec: GrammarSpec
    ) -> None:
        matcher = backend.compile(spec).start()
        for _ in random_walk(matcher, vocabulary, random.Random(5), num_steps=30):
            assert not matcher.is_complete
        if not allowed_ids(matcher, vocabulary):
            assert matcher.is_accepting and matcher.is_complete


class EveryBackend:
    """Tests of what is asked for, and of refusals."""

    def test_end_tokens_and_ids_without_text_are_never_taken(
        self, backend: GrammarBackend, vocabulary: Vocabulary
    ) -> None:
        matcher = backend.compile(GrammarSpec("regex", "a*")).start()
        assert matcher.is_accepting
        no_text = [i for i, piece in enumerate(vocabulary.pieces) if not piece]
        for token_id in no_text:
            assert matcher.accept([token_id]) == 0
        assert not set(no_text) & set(allowed_ids(matcher, vocabulary))
        assert matcher.accept([vocabulary.pieces.index(b"a")]) == 1

    def test_regex_gives_what_python_matches(
        self, backend: GrammarBackend, vocabulary: Vocabulary
    ) -> None:
        for pattern in (r"\d{2,3}", r"\S\W[^\d]", "(?i)a[b-c]é", ".{1,4}", r"x(?:a|)\.$", "[]^-]+"):
            texts = finished_texts(backend, vocabulary, GrammarSpec("regex", pattern))
            assert texts
            for text in texts:
                assert re.fullmatch(pattern, text), (pattern, text)

    def test_choice_gives_all_choices_and_nothing_else(
        self, backend: GrammarBackend, vocabulary: Vocabulary
    ) -> None:
        texts = finished_texts(backend, vocabulary, SPECS["choice"], num_seeds=60)
        assert set(texts) == {"a", "ab", "yes", "é🙂"}

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            (GrammarSpec("json_schema", "{"), "no JSON text"),
            (GrammarSpec("json_schema", "false"), "no answer is valid"),
            (GrammarSpec("json_schema", '{"enum": []}'), "json_schema"),
            (GrammarSpec("json_schema", '{"not": {}}'), "not"),
            (GrammarSpec("json_schema", '{"format": "klingon", "type": "string"}'), "klingon"),
            (GrammarSpec("json_schema", '{"$ref": "http://a.b/c"}'), r"\$ref"),
            (GrammarSpec("regex", "(a"), "no regular expression"),
            (GrammarSpec("regex", "a(?=b)"), "look-ahead"),
            (GrammarSpec("regex", "(a{1000}){1000}"), "1000000"),
            (GrammarSpec("ebnf", 'root ::= "a" b'), "rule b"),
            (GrammarSpec("ebnf", "root ::= root"), "never comes to an end"),
            (GrammarSpec("choice", "[]"), "choice has 0 texts"),
            (GrammarSpec("structural_tag", '{"format": {"type": "x"}}'), "'x'"),
        ],
    )
    def test_bad_grammars_are_refused(
        self, backend: GrammarBackend, spec: GrammarSpec, message: str
    ) -> None:
        with pytest.raises(RequestError, match=message) as caught:
            backend.compile(spec)
        assert caught.value.param == spec.kind

    def test_keywords_are_ignored_by_name_where_that_is_allowed(
        self, backend: GrammarBackend
    ) -> None:
        schema = {"type": "string", "not": {"const": "a"}, "format": "klingon", "title": "t"}
        grammar = backend.compile(GrammarSpec("json_schema", json.dumps(schema), True))
        assert grammar.ignored_keywords == ("format: klingon", "not")


def finished_texts(
    backend: GrammarBackend, vocabulary: Vocabulary, spec: GrammarSpec, *, num_seeds: int = 20
) -> list[str]:
    """Texts at whose end a random walk was at an end."""
    grammar = backend.compile(spec)
    texts = []
    for seed in range(num_seeds):
        matcher = grammar.start()
        taken = []
        for token_id in random_walk(matcher, vocabulary, random.Random(seed), num_steps=12):
            if matcher.is_accepting:
                texts.append(text_of(vocabulary, taken).decode("utf-8"))
            taken.append(token_id)
        if matcher.is_accepting:
            texts.append(text_of(vocabulary, taken).decode("utf-8"))
    return texts


def json_texts(backend: GrammarBackend, vocabulary: Vocabulary, schema: Any) -> list[str]:
    """Finished texts of a schema."""
    return finished_texts(backend, vocabulary, GrammarSpec("json_schema", json.dumps(schema)))
