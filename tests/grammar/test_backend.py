from __future__ import annotations

import numpy as np

from sglite.grammar.backend import set_bits


def test_bits_are_set_in_their_words_and_the_others_stay() -> None:
    words_W = np.array([1, 0, 0], dtype=np.int32)
    set_bits(words_W, [31, 32, 65])
    bits = np.unpackbits(words_W.view(np.uint8), bitorder="little")
    assert np.flatnonzero(bits).tolist() == [0, 31, 32, 65]
