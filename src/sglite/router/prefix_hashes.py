"""64-bit names of prefixes: one for each whole page of token ids, or block of a text.

A hash covers its page and, through the hash before it, all that stands before: equal hashes mean
equal prefixes, but for a chance of 2^-64 that costs a poor choice of engine and nothing else. The
first page continues from a root that covers page size and namespace. Engines and routers, also on
different machines, use these functions; the ids are hashed as little-endian 64-bit integers.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from hashlib import blake2b

HASH_BYTES = 8
TEXT_BLOCK_BYTES = 128
"""About as long as 32 tokens."""
MAX_HASHES = 8192
"""Most hashes of one prompt that a router looks at: deeper matches do not change a choice."""


def root_hash(page_size: int, namespace: str = "") -> bytes:
    """What the hash of a first page continues from."""
    return _root(f"tokens:{page_size}:{namespace}")


def continue_hashes(
    previous: bytes, token_ids: Sequence[int], page_size: int, max_hashes: int | None = None
) -> bytes:
    """The hashes, of 8 bytes each and one behind the other, of the whole pages of ``token_ids``.

    ``previous`` is the hash of the page before them, or the root's.
    """
    ids = array("q", token_ids)
    if sys.byteorder == "big":
        ids.byteswap()
    return _chain(previous, memoryview(ids).cast("B"), page_size * ids.itemsize, max_hashes)


def page_hashes(token_ids: Sequence[int], page_size: int, namespace: str = "") -> list[int]:
    """The hashes of the first whole pages of a prompt, ``MAX_HASHES`` at most."""
    root = root_hash(page_size, namespace)
    return unpack(continue_hashes(root, token_ids, page_size, MAX_HASHES))


def text_hashes(text: str, namespace: str = "") -> list[int]:
    """The hashes of the first whole blocks of a text, for routers that know no token ids."""
    head = text[: MAX_HASHES * TEXT_BLOCK_BYTES].encode("utf-8", "surrogatepass")
    root = _root(f"text:{namespace}")
    return unpack(_chain(root, memoryview(head), TEXT_BLOCK_BYTES, MAX_HASHES))


def unpack(packed: bytes) -> list[int]:
    """Packed hashes as integers. Bytes at the end that are no whole hash are left out."""
    hashes = array("Q")
    hashes.frombytes(packed[: len(packed) // HASH_BYTES * HASH_BYTES])
    if sys.byteorder == "big":
        hashes.byteswap()
    return hashes.tolist()


def _root(name: str) -> bytes:
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=HASH_BYTES).digest()


def _chain(previous: bytes, data: memoryview, step: int, max_hashes: int | None) -> bytes:
    """Hash ``data`` in whole steps. The salt carries the hash before: it costs no second block."""
    num_steps = len(data) // step
    if max_hashes is not None:
        num_steps = min(num_steps, max_hashes)
    found = []
    for start in range(0, num_steps * step, step):
        piece = data[start : start + step]
        previous = blake2b(piece, digest_size=HASH_BYTES, salt=previous).digest()
        found.append(previous)
    return b"".join(found)
