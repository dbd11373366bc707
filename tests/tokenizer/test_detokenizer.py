"""Text in instalments equals text at once: for all ids, all cuts, all kinds of decoders."""

import random

import pytest
from tokenizers import decoders

from sglite.tokenizer.decoders import MAX_HELD_BYTES
from sglite.tokenizer.detokenizer import IncrementalDetokenizer
from sglite.tokenizer.tokenizer import Tokenizer
from tests.fakes_text import (
    CORPUS,
    ByteTokenizer,
    byte_level_backend,
    sentencepiece_backend,
    unigram_backend,
    word_backend,
)

NUM_CASES = 20_000
SPECIAL = ("<|im_start|>", "<|im_end|>", "<｜end▁of▁text｜>", "<|a space|>")


def gemma_backend():
    backend = sentencepiece_backend()
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return backend


def byte_fallback_metaspace_backend():
    backend = sentencepiece_backend()
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return backend


BACKENDS = {
    "byte_level": lambda: byte_level_backend(SPECIAL),
    "llama2": sentencepiece_backend,
    "gemma": gemma_backend,
    "metaspace": byte_fallback_metaspace_backend,
    "unigram": unigram_backend,
    "words": word_backend,
}


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request):
    return BACKENDS[request.param]()


def random_ids(rng: random.Random, tokenizer: Tokenizer, spelled: list[int]) -> list[int]:
    """A mixture of valid text, specials, single bytes and ids that do not exist."""
    length = rng.randrange(0, 14)
    special = sorted(tokenizer.special_token_ids) or [0]
    ids = []
    while len(ids) < length:
        kind = rng.random()
        if kind < 0.4:
            ids.append(rng.randrange(min(300, tokenizer.vocab_size)))
        elif kind < 0.6:
            ids.append(rng.randrange(tokenizer.vocab_size + 2))
        elif kind < 0.7:
            ids.append(rng.choice(special))
        else:
            start = rng.randrange(len(spelled))
            ids.extend(spelled[start : start + rng.randrange(1, 6)])
    return ids


def in_pieces(rng: random.Random, tokenizer: Tokenizer, ids: list[int], *, skips: bool) -> str:
    detokenizer = IncrementalDetokenizer(tokenizer, skip_special_tokens=skips)
    parts = []
    position = 0
    while position < len(ids):
        size = rng.randrange(1, 4)
        parts.append(detokenizer.push(ids[position : position + size]))
        position += size
    return "".join(parts) + detokenizer.finish()


def test_instalments_join_to_the_one_shot_text_of_the_tokenizers_library(backend):
    tokenizer = Tokenizer(backend)
    rng = random.Random(7)
    spelled = [i for line in CORPUS for i in tokenizer.encode(line, add_special_tokens=False)]
    for case in range(NUM_CASES):
        ids = random_ids(rng, tokenizer, spelled)
        skips = bool(case % 2)
        expected = backend.decode(ids, skip_special_tokens=skips)
        assert in_pieces(rng, tokenizer, ids, skips=skips) == expected, (ids, skips)
        assert tokenizer.decode(ids, skip_special_tokens=skips) == expected


def test_text_comes_out_as_soon_as_a_character_is_complete():
    tokenizer = ByteTokenizer()
    detokenizer = IncrementalDetokenizer(tokenizer)
    shown = [detokenizer.push([byte]) for byte in "a😀é".encode()]
    assert shown == ["a", "", "", "", "😀", "", "é"]
    assert detokenizer.finish() == ""


def test_half_a_character_at_the_end_becomes_one_replacement():
    detokenizer = IncrementalDetokenizer(ByteTokenizer())
    assert detokenizer.push(list("😀".encode()[:3])) == ""
    assert detokenizer.finish() == "\ufffd"


def test_only_the_first_space_of_a_text_is_dropped():
    tokenizer = Tokenizer(sentencepiece_backend())
    ids = tokenizer.encode(" the fox", add_special_tokens=False)
    detokenizer = IncrementalDetokenizer(tokenizer)
    assert "".join(detokenizer.push([i]) for i in ids) + detokenizer.finish() == " the fox"


class CountingTokenizer(ByteTokenizer):
    num_lookups = 0

    def token(self, token_id):
        self.num_lookups += 1
        return super().token(token_id)


@pytest.mark.parametrize("length", [100, 10_000])
def test_each_token_is_looked_at_once(length):
    tokenizer = CountingTokenizer()
    rng = random.Random(1)
    detokenizer = IncrementalDetokenizer(tokenizer)
    for _ in range(length):
        detokenizer.push([rng.randrange(256)])
    detokenizer.finish()
    assert tokenizer.num_lookups == length


def test_state_of_a_detokenizer_is_bounded():
    tokenizer = Tokenizer(sentencepiece_backend())
    bytes_ids = [tokenizer._backend.token_to_id(f"<0x{byte:02X}>") for byte in "é".encode()]
    detokenizer = IncrementalDetokenizer(tokenizer)
    for _ in range(5_000):
        detokenizer.push(bytes_ids)
        assert len(detokenizer.pending_text.encode()) <= MAX_HELD_BYTES
