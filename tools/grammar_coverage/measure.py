"""What a backend makes of a schema and its instances.

Shape legend: W words of 32 tokens.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from statistics import median
from typing import Any

import numpy as np

from sglite.embedded import EMBEDDED_MODEL_DIR
from sglite.errors import RequestError
from sglite.grammar.backend import CompiledGrammar, GrammarBackend
from sglite.grammar.vocabulary import Vocabulary, read_vocabulary
from sglite.request import GrammarSpec
from sglite.tokenizer.loading import load_tokenizer
from tools.grammar_coverage.kinds import Case


class Outcome(Enum):
    """What came of a schema."""

    EXACT = "exact"
    """Every instance is told rightly."""
    NARROW = "narrow"
    """Nothing invalid passes, but not all that is valid can be written."""
    REFUSED = "refused"
    """A 400, before anything is generated."""
    WRONG = "wrong"
    """Something invalid passes."""


@dataclass(frozen=True, slots=True)
class Result:
    """One schema on one backend. ``why`` explains what is not exact."""

    name: str
    outcome: Outcome
    why: str = ""
    compile_ms: float = 0.0
    masks_us: list[float] = field(default_factory=list)


def embedded_vocabulary() -> Vocabulary:
    """The vocabulary of the embedded model, 4,096 tokens."""
    tokenizer = load_tokenizer(EMBEDDED_MODEL_DIR)
    return read_vocabulary(tokenizer, tokenizer.vocab_size)


class Probe:
    """Asks one backend about schemas."""

    def __init__(self, backend: GrammarBackend, vocabulary: Vocabulary) -> None:
        self._backend = backend
        self._encode = vocabulary.make_encode()
        self._words_W = np.zeros(vocabulary.num_words, dtype=np.int32)

    def ask(self, case: Case) -> Result:
        """Compile the schema and let it read every instance."""
        started = time.perf_counter()
        try:
            grammar = self._backend.compile(GrammarSpec("json_schema", json.dumps(case.schema)))
        except RequestError as error:
            return Result(case.name, Outcome.REFUSED, str(error))
        compile_ms = (time.perf_counter() - started) * 1e3
        masks_us = [us for value in case.valid for us in self._mask_times(grammar, value)]
        passed = [value for value in case.invalid if self.accepts(grammar, value)]
        missed = [value for value in case.valid if not self.accepts(grammar, value)]
        if passed:
            return Result(case.name, Outcome.WRONG, f"takes {passed[0]!r}", compile_ms, masks_us)
        if missed:
            return Result(case.name, Outcome.NARROW, f"not {missed[0]!r}", compile_ms, masks_us)
        return Result(case.name, Outcome.EXACT, "", compile_ms, masks_us)

    def accepts(self, grammar: CompiledGrammar, value: Any) -> bool:
        """Whether the grammar takes ``value`` as ``json.dumps`` writes it."""
        matcher = grammar.start()
        token_ids = self._token_ids(value)
        return matcher.accept(token_ids) == len(token_ids) and matcher.is_accepting

    def _token_ids(self, value: Any) -> Sequence[int]:
        return self._encode(json.dumps(value, ensure_ascii=False).encode("utf-8"))

    def _mask_times(self, grammar: CompiledGrammar, value: Any) -> Iterator[float]:
        """Microseconds that the mask at each place of an instance takes."""
        matcher = grammar.start()
        for token_id in self._token_ids(value):
            started = time.perf_counter()
            matcher.fill_mask(self._words_W)
            yield (time.perf_counter() - started) * 1e6
            if not matcher.accept([token_id]):
                return


def share_of(results: Sequence[Result], *outcomes: Outcome) -> str:
    """How many have one of the outcomes, as "3 of 5"."""
    return f"{sum(result.outcome in outcomes for result in results)} of {len(results)}"


def typical(values: Sequence[float]) -> str:
    """The median, rounded for people; a dash where there is none."""
    return f"{median(values):.1f}" if values else "–"
