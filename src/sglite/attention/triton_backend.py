"""Attention over a work list that the host makes every step: our Triton kernel on a GPU.

Single tokens that share pages read them together, at every level of sharing (see
``kernels/paged_attention/prefix_groups``); long sequences are divided so that all of the device has
work. Elsewhere than on a GPU the list is worked off by its reference.

Shape legend: T tokens packed, R runs, W rows of the page table, N query heads. See docs/shapes.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from sglite.attention.backend import AttentionShape, BoundAttention, HostRuns, Int32Array
from sglite.kernels.paged_attention import attend_work
from sglite.kernels.paged_attention.prefix_groups import find_groups, group_tiles
from sglite.kernels.paged_attention.work_list import (
    ITEM_WORDS,
    TILE_KEYS,
    DeviceWork,
    Scores,
    Tiles,
    Tiling,
    WorkList,
    chunk_work,
    decode_work,
    most_items,
)
from sglite.kernels.triton_support import next_power_of_2

if TYPE_CHECKING:
    from sglite.kvcache.kv_pool import KVLayer

DECODE_ROWS, CHUNK_ROWS, WIDE_CHUNK_ROWS = 16, 128, 64
"""Rows of a tile of queries at least; the last where heads are wider than 128."""

DECODE_PROGRAMS, CHUNK_PROGRAMS = 3, 1
"""Programs that a multiprocessor of an H200 has memory and registers for."""

LEVELS = 3
"""Levels of sharing that there is room for where all runs share at all of them."""

SHORTEST_FIXED_PART, MOST_FIXED_PARTS = 1024, 16


class TritonBackend:
    """Attends single tokens (``is_decode``) or longer runs of one KV group.

    With ``is_deterministic`` keys are divided at places that depend on the sequence alone, and
    nothing is read together: a token's result does not depend on what else is in the step.
    ``max_seq_len`` bounds the parts of a sequence then.
    """

    name = "triton"
    can_capture = True

    def __init__(
        self,
        shape: AttentionShape,
        *,
        is_decode: bool,
        max_seq_len: int,
        num_multiprocessors: int,
        is_deterministic: bool = False,
    ) -> None:
        self._shape = shape
        self._is_decode = is_decode
        self._max_seq_len = max_seq_len
        self._rows, self._tiling = _cutting(
            shape, is_decode, num_multiprocessors, max_seq_len if is_deterministic else None
        )
        self._partials_SNX = torch.empty(0)
        self._shared: tuple[object, Tiles | None, Int32Array | None] = (None, None, None)

    def capacities(self, num_runs: int) -> dict[str, int]:
        """See :class:`AttentionBackend`. Shared prefixes that would need more are not grouped."""
        items = queries = most_items(num_runs, self._tiling, self._max_seq_len)
        merges, slots = num_runs, queries
        if self._may_share(num_runs):
            tokens = self._tiling.tokens
            items += max(num_runs // 2, LEVELS * -(-num_runs // tokens))
            # Each level has a query of every run, each further part those of a whole tile.
            slots = queries = (LEVELS + 1) * num_runs + tokens * self._tiling.parts
        elif self._tiling.fixed_part is None:
            merges = min(num_runs, self._tiling.parts)
            slots = min(queries, 2 * self._tiling.parts)
        return {
            "items": items * ITEM_WORDS,
            "queries": queries * 2,
            "merges": merges * 2,
            "slot_tokens": slots,
        }

    def plan(self, runs: HostRuns) -> dict[str, Int32Array]:
        """See :class:`AttentionBackend`."""
        if self._is_decode:
            assert int(runs.offsets[-1]) == len(runs.rows_R), "runs longer than one token"
            return _arrays(self._plan_decodes(runs))
        return _arrays(
            chunk_work(
                runs.rows_R,
                runs.offsets,
                runs.seq_lens_R,
                self._tiling,
                window=self._shape.window,
            )
        )

    def bind(self, staged: dict[str, torch.Tensor], page_table_WP: torch.Tensor) -> BoundAttention:
        """See :class:`AttentionBackend`. Steps must not run at once: they share memory for parts,
        which is allocated anew only where none before needed as much."""
        num_slots = staged["slot_tokens"].numel()
        if num_slots > len(self._partials_SNX):
            shape = (num_slots, self._shape.num_heads, self._shape.head_dim + 2)
            self._partials_SNX = torch.empty(
                shape, dtype=torch.float32, device=page_table_WP.device
            )
        work = DeviceWork(
            staged["items"].view(-1, ITEM_WORDS),
            staged["queries"].view(-1, 2),
            staged["merges"].view(-1, 2),
            staged["slot_tokens"],
            self._partials_SNX,
            rows=self._rows,
            is_causal=not self._is_decode,
            window=self._shape.window,
        )
        return _BoundWork(work, page_table_WP, self._shape.page_size)

    def _may_share(self, num_runs: int) -> bool:
        return self._is_decode and self._tiling.fixed_part is None and num_runs > 1

    def _plan_decodes(self, runs: HostRuns) -> WorkList:
        if self._may_share(len(runs.rows_R)):
            shared, private_begin_R = self._shared_tiles(runs)
            if shared is not None and private_begin_R is not None:
                work = decode_work(
                    runs.rows_R,
                    runs.seq_lens_R,
                    self._tiling,
                    window=self._shape.window,
                    shared=shared,
                    private_begin_R=private_begin_R,
                )
                capacities = self.capacities(len(runs.rows_R))
                if all(array.size <= capacities[name] for name, array in _arrays(work).items()):
                    return work
        return decode_work(runs.rows_R, runs.seq_lens_R, self._tiling, window=self._shape.window)

    def _shared_tiles(self, runs: HostRuns) -> tuple[Tiles | None, Int32Array | None]:
        """Tiles of what runs share, and where each run's own keys begin; None: nothing is shared.

        Kept while the rows and the pages behind them are the same. A run whose window has moved
        shares nothing: what it sees is bounded anyway.
        """
        num_keys_R = runs.seq_lens_R - np.int32(1)  # the newest key is written in this step
        moved_R = np.zeros(0, dtype=bool)
        if self._shape.window is not None:
            moved_R = runs.seq_lens_R > self._shape.window
            num_keys_R = np.where(moved_R, np.int32(0), num_keys_R)
        state = (runs.tables_version, runs.rows_R.tobytes(), moved_R.tobytes())
        if self._shared[0] != state:
            groups = find_groups(
                runs.page_table_WP,
                runs.rows_R,
                num_keys_R,
                page_size=self._shape.page_size,
                tile_keys=TILE_KEYS,
            )
            tiles, begin_R = None, None
            if groups:
                tiles, begin_R = group_tiles(groups, runs.rows_R, self._tiling.tokens)
            self._shared = (state, tiles, begin_R)
        return self._shared[1:]


@dataclass(frozen=True, slots=True)
class _BoundWork:
    """A work list on the device, and what it refers to."""

    work: DeviceWork
    page_table_WP: torch.Tensor
    page_size: int

    def prepare(self) -> None:
        """Nothing: the host made the list."""

    def attend(
        self,
        q_TND: torch.Tensor,
        kv_layer: KVLayer,
        out_TND: torch.Tensor,
        *,
        scale: float,
        softcap: float | None,
    ) -> None:
        attend_work(
            q_TND,
            kv_layer,
            self.page_table_WP,
            self.work,
            out_TND,
            page_size=self.page_size,
            scores=Scores(scale, softcap),
        )


def _cutting(
    shape: AttentionShape, is_decode: bool, num_multiprocessors: int, longest: int | None
) -> tuple[int, Tiling]:
    """Rows of a tile of queries, and how items are cut; ``longest``: at fixed places."""
    rows = CHUNK_ROWS if shape.head_dim <= 128 else WIDE_CHUNK_ROWS
    group = shape.num_heads // shape.num_kv_heads
    rows = max(DECODE_ROWS if is_decode else rows, next_power_of_2(group))
    programs = num_multiprocessors * (DECODE_PROGRAMS if is_decode else CHUNK_PROGRAMS)
    fixed_part = None
    if longest is not None:
        tiles = -(-longest // (MOST_FIXED_PARTS * TILE_KEYS))
        fixed_part = max(SHORTEST_FIXED_PART, tiles * TILE_KEYS)
    return rows, Tiling(rows // group, max(1, programs // shape.num_kv_heads), fixed_part)


def _arrays(work: WorkList) -> dict[str, Int32Array]:
    return {
        "items": work.items_I6.ravel(),
        "queries": work.queries_Q2.ravel(),
        "merges": work.merges_M2.ravel(),
        "slot_tokens": work.slot_tokens_S,
    }
