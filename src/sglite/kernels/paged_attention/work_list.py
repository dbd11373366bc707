"""Which queries read which keys together in one step: the work list of attention on a device.

An item is a tile of queries that see the same pages, and a range of keys: the one token of a
decode, a piece of a chunk's tokens, tokens of several sequences on a shared prefix. A token whose
keys are divided among items gets a slot for each part; the parts are merged by their log-sum-exp.

Everything is arrays of the host, made without a loop over sequences: a step of 256 decodes takes
some fifty microseconds. The number of items is bounded before their lengths are known, so that a
captured graph can hold room for them: :func:`most_items`.

Shape legend: T tokens packed, R runs, W rows of the page table, U tiles of queries, I items,
Q queries of all items, S slots of parts, M tokens that have parts. See docs/shapes.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

Int32Array = np.ndarray[tuple[int, ...], np.dtype[np.int32]]

ITEM_WORDS = 6
TILE_KEYS = 64
"""Keys of one product of matrices. Items are cut at multiples of it."""

SHORTEST_PART = 2
"""Tiles of a part at least: fewer cost more in merging than they gain in balance. Not measured."""


class WorkList(NamedTuple):
    """What one step's attention does, for all layers of a KV group: int32 arrays.

    | field | shape | meaning |
    |---|---|---|
    | items_I6 | [I, 6] | see below; most keys first, so that the last to start are the short ones |
    | queries_Q2 | [Q, 2] | packed token of each query, and the slot of its part; -1: it is whole |
    | merges_M2 | [M, 2] | first slot and number of slots of each token that has parts |
    | slot_tokens_S | [S] | the token of each slot |

    An item is: first query, number of queries, row of the page table, first key, end of the keys,
    position of the first query. The latter counts where tokens are consecutive (chunks): query i
    sees the keys up to position + i; elsewhere every query sees all keys of the item. Entries of
    zeros mean nothing to do.
    """

    items_I6: Int32Array
    queries_Q2: Int32Array
    merges_M2: Int32Array
    slot_tokens_S: Int32Array


@dataclass(frozen=True, slots=True)
class DeviceWork:
    """A :class:`WorkList` on the device, and what every launch of it needs.

    ``partials_SNX`` (float32 ``[>= S, N, D + 2]``) is memory of the parts: for each the largest
    score times log2(e), the sum of ``2 ** (score - largest)``, and the values weighted by these.
    ``rows`` are those of a tile of queries: tokens times the heads that share a KV head, rounded
    up to a power of two. With a ``window`` items may begin inside a tile of keys; in chunks it
    hides keys within items too.
    """

    items_I6: torch.Tensor
    queries_Q2: torch.Tensor
    merges_M2: torch.Tensor
    slot_tokens_S: torch.Tensor
    partials_SNX: torch.Tensor
    rows: int
    is_causal: bool
    window: int | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """How scores come from q·k: times ``scale``, then softly capped where ``softcap`` is set."""

    scale: float
    softcap: float | None = None


@dataclass(frozen=True, slots=True)
class Tiling:
    """How items are cut: ``tokens`` in a tile at most, and about ``parts`` items in a step.

    ``parts`` follows from the device: programs that run at once, over the KV heads. With
    ``fixed_part`` keys are cut at its multiples instead, a multiple of ``TILE_KEYS`` itself, and
    how a token's keys are divided depends on its sequence alone.
    """

    tokens: int
    parts: int
    fixed_part: int | None = None


class Tiles(NamedTuple):
    """Tiles of queries, each with the range of keys that any of them sees: int32.

    ``items_U6`` says them as items would be that nobody has divided; their queries are the packed
    tokens ``tokens_Q``. Keys begin at a multiple of ``TILE_KEYS``, or where the window does.
    """

    items_U6: Int32Array
    tokens_Q: Int32Array


def most_items(num_runs: int, tiling: Tiling, max_seq_len: int) -> int:
    """Items that a step of so many decodes has at most."""
    if tiling.fixed_part is None:
        return num_runs + tiling.parts
    return num_runs * -(-max_seq_len // tiling.fixed_part)


def decode_work(
    rows_R: Int32Array,
    seq_lens_R: Int32Array,
    tiling: Tiling,
    *,
    window: int | None = None,
    shared: Tiles | None = None,
    private_begin_R: Int32Array | None = None,
) -> WorkList:
    """The work of one new token at the end of each sequence.

    ``shared`` are tiles of tokens over the starts of their sequences; what is left of each
    sequence begins at ``private_begin_R``.
    """
    counting_R = np.arange(len(rows_R), dtype=np.int32)
    items_U6 = np.zeros((len(rows_R), ITEM_WORDS), dtype=np.int32)
    items_U6[:, 0] = counting_R
    items_U6[:, 1] = 1
    items_U6[:, 2] = rows_R
    items_U6[:, 4] = seq_lens_R
    if window is not None:
        items_U6[:, 3] = np.maximum(seq_lens_R - np.int32(window), 0)
    if shared is None or private_begin_R is None:
        return cut(Tiles(items_U6, counting_R), tiling, is_shared=False)
    items_U6[:, 0] += np.int32(len(shared.tokens_Q))
    items_U6[:, 3] = np.maximum(items_U6[:, 3], private_begin_R)
    both = Tiles(
        np.concatenate((shared.items_U6, items_U6)), np.concatenate((shared.tokens_Q, counting_R))
    )
    return cut(both, tiling, is_shared=True)


def chunk_work(
    rows_R: Int32Array,
    offsets: Int32Array,
    seq_lens_R: Int32Array,
    tiling: Tiling,
    *,
    window: int | None = None,
) -> WorkList:
    """The work of runs ``[R + 1]`` of new tokens at the ends of sequences ``[R]``."""
    tiles_R = -(-np.diff(offsets) // tiling.tokens)
    run_U = np.repeat(np.arange(len(rows_R), dtype=np.int32), tiles_R)
    run_end_U = offsets[run_U + 1]
    items_U6 = np.zeros((len(run_U), ITEM_WORDS), dtype=np.int32)
    first_U = offsets[run_U] + counting(tiles_R) * np.int32(tiling.tokens)
    positions_U = seq_lens_R[run_U] - run_end_U + first_U
    items_U6[:, 0] = first_U
    items_U6[:, 1] = np.minimum(run_end_U - first_U, tiling.tokens)
    items_U6[:, 2] = rows_R[run_U]
    items_U6[:, 4] = positions_U + items_U6[:, 1]
    items_U6[:, 5] = positions_U
    if window is not None:
        items_U6[:, 3] = np.maximum(positions_U - np.int32(window - 1), 0)
    tokens_Q = np.arange(offsets[-1], dtype=np.int32)
    return cut(Tiles(items_U6, tokens_Q), tiling, is_shared=False)


def cut(tiles: Tiles, tiling: Tiling, *, is_shared: bool) -> WorkList:
    """Divide the keys of long tiles. ``is_shared``: a token may be in more than one tile."""
    begin_U, end_U = tiles.items_U6[:, 3], tiles.items_U6[:, 4]
    origin_U = begin_U // np.int32(TILE_KEYS)
    num_keys_U = (end_U + np.int32(TILE_KEYS - 1)) // np.int32(TILE_KEYS) - origin_U
    if tiling.fixed_part is None:
        total = int(num_keys_U.sum(dtype=np.int64))
        longest = max(SHORTEST_PART, -(-total // tiling.parts))
    else:
        longest = tiling.fixed_part // TILE_KEYS
        num_keys_U += origin_U % np.int32(longest)
        origin_U -= origin_U % np.int32(longest)
    is_whole = not len(num_keys_U) or int(num_keys_U.max()) <= longest
    items_I6, tokens_Q = tiles.items_U6, tiles.tokens_Q
    if not is_whole:
        items_I6, tokens_Q = _divided(tiles, tiling, origin_U, num_keys_U, longest)
    if is_whole and not is_shared:
        queries_Q2 = np.full((len(tokens_Q), 2), -1, dtype=np.int32)
        queries_Q2[:, 0] = tokens_Q
        nothing = np.zeros(0, dtype=np.int32)
        parts = queries_Q2, nothing.reshape(0, 2), nothing
    else:
        parts = _place_parts(tokens_Q)
    # The last to start are the short ones; equal ones stay in order.
    order_I = np.argsort(items_I6[:, 3] - items_I6[:, 4], kind="stable")
    return WorkList(items_I6[order_I], *parts)


def _divided(
    tiles: Tiles, tiling: Tiling, origin_U: Int32Array, num_keys_U: Int32Array, longest: int
) -> tuple[Int32Array, Int32Array]:
    """Items ``[I, 6]`` and the tokens of their queries ``[Q]``, none longer than ``longest``.

    ``num_keys_U`` counts tiles of keys from ``origin_U`` on, in tiles as well.
    """
    parts_U = -(-num_keys_U // np.int32(longest))
    tile_I = np.repeat(np.arange(len(parts_U), dtype=np.int32), parts_U)
    share_I: Int32Array | np.int32 = np.int32(longest)
    if tiling.fixed_part is None:  # equal parts, not long ones and a rest
        share_I = (-(-num_keys_U // parts_U))[tile_I]
    at_I = origin_U[tile_I] + counting(parts_U) * share_I
    items_I6 = tiles.items_U6[tile_I]
    items_I6[:, 3] = np.maximum(items_I6[:, 3], at_I * np.int32(TILE_KEYS))
    items_I6[:, 4] = np.minimum(items_I6[:, 4], (at_I + share_I) * np.int32(TILE_KEYS))
    counts_I = items_I6[:, 1]
    ends_I = np.cumsum(counts_I, dtype=np.int32)
    first_I = ends_I - counts_I
    sources_Q = np.repeat(items_I6[:, 0] - first_I, counts_I)
    sources_Q += np.arange(len(sources_Q), dtype=np.int32)
    items_I6[:, 0] = first_I
    return items_I6, tiles.tokens_Q[sources_Q]


def _place_parts(tokens_Q: Int32Array) -> tuple[Int32Array, Int32Array, Int32Array]:
    """Queries with their slots, merges and tokens of slots; slots in the order of the keys."""
    counts_T = np.bincount(tokens_Q)
    parts = np.flatnonzero((counts_T > 1)[tokens_Q])
    parts = parts[np.argsort(tokens_Q[parts], kind="stable")]
    queries_Q2 = np.full((len(tokens_Q), 2), -1, dtype=np.int32)
    queries_Q2[:, 0] = tokens_Q
    queries_Q2[parts, 1] = np.arange(len(parts), dtype=np.int32)
    counts_M = counts_T[counts_T > 1]
    merges_M2 = np.empty((len(counts_M), 2), dtype=np.int32)
    merges_M2[:, 0] = np.cumsum(counts_M) - counts_M
    merges_M2[:, 1] = counts_M
    return queries_Q2, merges_M2, tokens_Q[parts]


def counting(counts: Int32Array) -> Int32Array:
    """0, 1, ... up to each of ``counts``, one after the other: int32."""
    ends = np.cumsum(counts, dtype=np.int32)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total, dtype=np.int32) - np.repeat(ends - counts, counts).astype(np.int32)
