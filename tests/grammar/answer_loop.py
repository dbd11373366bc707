"""Answers of the worst model there is: each token is drawn evenly from all that are allowed.

It takes the place of model, scheduler and sampler in the loop that asks a Constraint for a mask
and tells it what was drawn.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from sglite.embedded import EMBEDDED_MODEL_DIR
from sglite.grammar.backend import CompiledGrammar, GrammarBackend
from sglite.grammar.backends import make_backend
from sglite.grammar.closing import EndFinder
from sglite.grammar.constraint import Constraint
from sglite.grammar.shortest_answer import shortest_answer
from sglite.grammar.vocabulary import Vocabulary, read_vocabulary
from sglite.request import GrammarSpec
from sglite.tokenizer.loading import load_tokenizer


class NoEndError(Exception):
    """No way to a valid end was found from the start: such a grammar is refused."""


@cache
def embedded_vocabulary() -> Vocabulary:
    """The vocabulary of the embedded model."""
    tokenizer = load_tokenizer(EMBEDDED_MODEL_DIR)
    return read_vocabulary(tokenizer, tokenizer.vocab_size)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was written, and whether it was led to its end because its length was used up."""

    text: str
    num_tokens: int
    is_cut: bool


@dataclass(frozen=True, slots=True)
class ReadyGrammar:
    """A compiled grammar and the shortest end that was found from its start."""

    compiled: CompiledGrammar
    shortest_end: list[int]


class AnswerLoop:
    """Answers over the embedded model's vocabulary with one backend."""

    def __init__(self, backend_name: str = "llguidance") -> None:
        self.vocabulary = embedded_vocabulary()
        self.backend: GrammarBackend = make_backend(backend_name, self.vocabulary)
        self.ends = EndFinder(self.vocabulary.pieces)
        self.end_ids = frozenset(self.vocabulary.end_token_ids)

    def prepare(self, spec: GrammarSpec) -> ReadyGrammar:
        """Compile. Raises RequestError or NoEndError where the grammar is refused."""
        compiled = self.backend.compile(spec)
        end = shortest_answer(spec, compiled, self.ends)
        if end is None:
            raise NoEndError(f"no end found from the start of this {spec.kind}")
        return ReadyGrammar(compiled, end)

    def answer(
        self, grammar: ReadyGrammar, rng: random.Random, *, max_new_tokens: int, jumps: bool = True
    ) -> Answer:
        """One answer of at most ``max_new_tokens`` tokens."""
        constraint = Constraint(
            grammar.compiled.start(),
            ends=self.ends,
            shortest_end=grammar.shortest_end,
            max_new_tokens=max_new_tokens,
            end_token_ids=self.end_ids,
            thinking=None,
            max_thinking_tokens=None,
            jumps=jumps,
        )
        words_W = np.zeros(self.vocabulary.num_words, dtype=np.int32)
        token_ids: list[int] = []
        while len(token_ids) < max_new_tokens:
            constraint.fill_mask(words_W)
            taken = constraint.take(draw(words_W, rng))
            token_ids += taken.token_ids
            if taken.is_end or taken.is_cut:
                return self._read(token_ids, max_new_tokens, taken.is_cut)
        return self._read(token_ids, max_new_tokens, True)

    def _read(self, token_ids: Sequence[int], max_new_tokens: int, is_cut: bool) -> Answer:
        assert len(token_ids) <= max_new_tokens, f"{len(token_ids)} tokens of {max_new_tokens}"
        pieces = [self.vocabulary.pieces[i] for i in token_ids if i not in self.end_ids]
        return Answer(b"".join(pieces).decode("utf-8"), len(token_ids), is_cut)


def draw(words_W: Any, rng: random.Random) -> int:
    """One of the tokens whose bit is set; each is as likely as the others."""
    legal = np.flatnonzero(np.unpackbits(words_W.view(np.uint8), bitorder="little"))
    assert len(legal), "nothing is allowed"
    return int(legal[rng.randrange(len(legal))])
