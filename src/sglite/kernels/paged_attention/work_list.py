"""Which queries read which keys together in one step: the work list of the Triton kernel.

An item is a tile of queries that see the same pages, and a range of keys: the one token of a
decode, a piece of a chunk's tokens, tokens of several sequences on a shared prefix. A token whose
keys are divided among items gets a slot for each part; the parts are merged by their log-sum-exp.

Everything is arrays of the host, made without a loop over sequences: a step of 256 decodes takes
some fifty microseconds. The number of items is bounded before their lengths are known, so that a
captured graph can hold room for them: :func:`max_items`.

Shape legend: T tokens packed, R runs, I items, Q queries of all items. See docs/shapes.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Int32Array = np.ndarray[tuple[int, ...], np.dtype[np.int32]]

SHORTEST_PART = 256
"""Keys of a part at least: fewer cost more in merging than they gain in balance."""


@dataclass(frozen=True, slots=True)
class WorkList:
    """What one step's attention does, for all layers of a KV group.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | items_I5 | [I, 5] | int32 | first query, queries, run, first key, end of keys |
    | query_tokens_Q | [Q] | int32 | packed token of each query |
    | query_slots_Q | [Q] | int32 | where its part goes; -1: it is the whole |
    | partial_offsets_T | [T + 1] | int32 | slots of token t: from entry t to entry t + 1 |
    | visible_T2 | [T, 2] | int32 | first key that a token sees, and the end of them |
    """

    items_I5: Int32Array
    query_tokens_Q: Int32Array
    query_slots_Q: Int32Array
    partial_offsets_T: Int32Array
    visible_T2: Int32Array

    @property
    def num_partials(self) -> int:
        """Slots that parts need."""
        return int(self.partial_offsets_T[-1])


@dataclass(frozen=True, slots=True)
class Tiling:
    """How items are cut: ``tokens`` in a tile at most, and about ``parts`` items in a step.

    ``parts`` follows from the device: programs that run at once, over the KV heads.
    """

    tokens: int
    parts: int


def max_items(num_runs: int, tiling: Tiling) -> int:
    """Items that a step of so many decodes has at most."""
    return num_runs + tiling.parts


def make_work_list(
    run_offsets: Int32Array, seq_lens_R: Int32Array, tiling: Tiling, *, window: int | None = None
) -> WorkList:
    """The items of runs ``[R + 1]`` of new tokens at the ends of sequences ``[R]``."""
    lengths = np.diff(run_offsets)
    visible_T2 = _visible(run_offsets, seq_lens_R, lengths, window)
    tiles_per_run = -(-lengths // tiling.tokens)
    run_of_tile = np.repeat(np.arange(len(lengths), dtype=np.int32), tiles_per_run)
    first_token = run_offsets[run_of_tile] + _counting(tiles_per_run) * tiling.tokens
    end_token = np.minimum(first_token + tiling.tokens, run_offsets[run_of_tile + 1])
    first_key, end_key = visible_T2[first_token, 0], visible_T2[end_token - 1, 1]
    num_keys = end_key - first_key
    part = max(SHORTEST_PART, -(-int(num_keys.sum(dtype=np.int64)) // tiling.parts))
    parts_per_tile = -(-num_keys // part)
    tile_of_item = np.repeat(np.arange(len(num_keys)), parts_per_tile)
    # Equal parts, not whole ones and a rest.
    share = -(-num_keys // np.maximum(1, parts_per_tile))
    begin = first_key[tile_of_item] + _counting(parts_per_tile) * share[tile_of_item]
    end = np.minimum(begin + share[tile_of_item], end_key[tile_of_item])
    num_queries = (end_token - first_token)[tile_of_item]
    first_query = np.cumsum(num_queries) - num_queries
    items = (first_query, num_queries, run_of_tile[tile_of_item], begin, end)
    items_I5 = np.stack(items, axis=1).astype(np.int32)
    tokens_Q = np.repeat(first_token[tile_of_item] - first_query, num_queries)
    tokens_Q = (tokens_Q + np.arange(len(tokens_Q))).astype(np.int32)
    part_of_item = _counting(parts_per_tile)
    offsets_T, slots_Q = _place_parts(
        tokens_Q, np.repeat(part_of_item, num_queries), len(visible_T2)
    )
    return WorkList(items_I5, tokens_Q, slots_Q, offsets_T, visible_T2)


def _visible(
    run_offsets: Int32Array, seq_lens_R: Int32Array, lengths: Int32Array, window: int | None
) -> Int32Array:
    """What each token sees: itself and what stands before it, within the window."""
    visible_T2 = np.zeros((int(run_offsets[-1]), 2), dtype=np.int32)
    ends = np.repeat(seq_lens_R - run_offsets[1:] + 1, lengths) + np.arange(len(visible_T2))
    visible_T2[:, 1] = ends
    if window is not None:
        visible_T2[:, 0] = np.maximum(0, ends - window)
    return visible_T2


def _place_parts(
    tokens_Q: Int32Array, parts_Q: Int32Array, num_tokens: int
) -> tuple[Int32Array, Int32Array]:
    """Offsets ``[T + 1]`` of the tokens' slots, and the slot ``[Q]`` of each query's part."""
    counts = np.bincount(tokens_Q, minlength=num_tokens)
    counts[counts == 1] = 0
    offsets_T = np.zeros(num_tokens + 1, dtype=np.int32)
    np.cumsum(counts, out=offsets_T[1:])
    is_divided = counts[tokens_Q] > 0
    slots_Q = np.where(is_divided, offsets_T[tokens_Q] + parts_Q, -1).astype(np.int32)
    return offsets_T, slots_Q


def _counting(counts: Int32Array) -> Int32Array:
    """0, 1, ... up to each of ``counts``, one after the other."""
    ends = np.cumsum(counts)
    return (np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - counts, counts)).astype(
        np.int32
    )
