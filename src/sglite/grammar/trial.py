"""A walk through a grammar: what would stop an engine in the middle of an answer shows before.

Some grammars compile at once and need seconds for a mask, or give up at their hundredth token.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import numpy as np

from sglite.grammar.backend import CompiledGrammar, GrammarTooComplexError, Matcher, Words

NUM_WALKS = 8
NUM_STEPS = 40
MAX_MASK_S = 0.25
"""Processor time that one mask may take; a usual one takes a five-thousandth of it."""
SEED = 20_160_924


def try_out(compiled: CompiledGrammar, shortest_end: Sequence[int], *, num_words: int) -> None:
    """Take legal tokens at random, from several places on the shortest way to the end.

    ``num_words``: words of a mask. Raises GrammarTooComplexError where it is too much work.
    """
    chooser = random.Random(SEED)  # the same grammar is always told the same
    words_W = np.zeros(num_words, dtype=np.int32)
    for walk in range(NUM_WALKS):
        matcher = compiled.start()
        matcher.accept(shortest_end[: len(shortest_end) * walk // NUM_WALKS])
        _walk(matcher, words_W, chooser)


def _walk(matcher: Matcher, words_W: Words, chooser: random.Random) -> None:
    for _ in range(NUM_STEPS):
        if matcher.is_complete:
            return
        began_s = time.thread_time()
        matcher.fill_mask(words_W)
        taken_s = time.thread_time() - began_s
        if taken_s > MAX_MASK_S:
            raise GrammarTooComplexError(f"a mask takes {taken_s:.2f} s; at most {MAX_MASK_S} s")
        token_id = _draw(words_W, chooser)
        if token_id is None:
            return
        matcher.accept([token_id])


def _draw(words_W: Words, chooser: random.Random) -> int | None:
    """A token that the mask allows, None where it allows none.

    Not all are as likely: a word is drawn, then one of its bits, since a look at each bit of a
    large vocabulary takes longer than its mask.
    """
    used = np.flatnonzero(words_W)
    if not len(used):
        return None
    index = int(used[chooser.randrange(len(used))])
    word = int(words_W[index])
    return index * 32 + chooser.choice([bit for bit in range(32) if word >> bit & 1])
