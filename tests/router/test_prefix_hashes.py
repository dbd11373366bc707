from __future__ import annotations

import random
from hashlib import blake2b

import pytest

from sglite.router import prefix_hashes
from sglite.router.prefix_hashes import (
    HASH_BYTES,
    TEXT_BLOCK_BYTES,
    continue_hashes,
    page_hashes,
    root_hash,
    text_hashes,
    unpack,
)


def test_each_whole_page_has_one_hash_that_covers_all_before_it() -> None:
    ids = list(range(100, 140))
    hashes = page_hashes(ids, 16)
    assert len(hashes) == len(set(hashes)) == 2
    assert page_hashes(ids[:32], 16) == hashes and page_hashes(ids[:31], 16) == hashes[:1]
    other_start = page_hashes([0, *ids[1:]], 16)
    other_end = page_hashes([*ids[:31], 0], 16)
    assert not set(other_start) & set(hashes)
    assert other_end[0] == hashes[0] and other_end[1] != hashes[1]
    assert page_hashes([], 16) == page_hashes([1], 16) == []


def test_hashes_go_on_from_any_page() -> None:
    ids = [random.Random(0).randrange(1 << 40) for _ in range(64)]
    whole = continue_hashes(root_hash(4, "salt"), ids, 4)
    for page in range(1, 16):
        first = whole[: page * HASH_BYTES]
        assert first + continue_hashes(first[-HASH_BYTES:], ids[page * 4 :], 4) == whole
    assert unpack(whole) == page_hashes(ids, 4, "salt")


def test_page_sizes_and_namespaces_are_apart() -> None:
    ids = [7] * 64
    sizes = [set(page_hashes(ids, size)) for size in (1, 2, 4, 16, 64)]
    salted = [set(page_hashes(ids, 16, salt)) for salt in ("a", "b", "\ud800", "16:")]
    everything = [*sizes, *salted]
    assert len(set.union(*everything)) == sum(map(len, everything))


def test_the_hashes_are_those_of_every_other_machine() -> None:
    """Engines and routers of different versions meet: what is hashed never changes."""
    previous, expected = blake2b(b"tokens:2:salt", digest_size=8).digest(), []
    for page in ((1, -2), (3, 1 << 40)):
        data = b"".join(token.to_bytes(8, "little", signed=True) for token in page)
        previous = blake2b(data, digest_size=8, salt=previous).digest()
        expected.append(int.from_bytes(previous, "little"))
    assert page_hashes([1, -2, 3, 1 << 40, 5], 2, "salt") == expected
    root = blake2b(b"text:", digest_size=8).digest()
    block = blake2b(b"x" * TEXT_BLOCK_BYTES, digest_size=8, salt=root).digest()
    assert text_hashes("x" * TEXT_BLOCK_BYTES) == [int.from_bytes(block, "little")]


def test_bytes_are_in_one_order_on_all_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    here = page_hashes([1, 2, 3, 4], 2)
    monkeypatch.setattr(prefix_hashes.sys, "byteorder", "big")
    swapped = page_hashes([int.from_bytes(i.to_bytes(8, "little"), "big") for i in range(1, 5)], 2)
    assert [int.from_bytes(one.to_bytes(8, "little"), "big") for one in swapped] == here


def test_texts_are_hashed_by_blocks_of_bytes() -> None:
    text = "a" * TEXT_BLOCK_BYTES + "ü" * (TEXT_BLOCK_BYTES // 2) + "rest"
    hashes = text_hashes(text)
    assert len(hashes) == 2 and text_hashes(text + "more") == hashes
    assert text_hashes(text[:-5]) == hashes[:1]
    assert not set(text_hashes(text, "salt")) & set(hashes)
    assert len(text_hashes("\ud800" * TEXT_BLOCK_BYTES)) == 3


def test_only_the_start_of_a_long_prompt_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_hashes, "MAX_HASHES", 3)
    assert len(page_hashes(range(100), 4)) == 3
    assert len(text_hashes("a" * 5 * TEXT_BLOCK_BYTES)) == 3


def test_a_part_of_a_hash_is_none() -> None:
    assert unpack(b"\x01" + b"\0" * 7 + b"\x02") == [1]
