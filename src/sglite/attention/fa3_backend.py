"""Attention by FlashAttention 3 (Shah et al. 2024) where it is installed: Hopper alone.

Either of two packages brings it: ``flash_attn_interface`` is the authors', ``sgl_kernel`` that of
SGLang. Their ``flash_attn_with_kvcache`` takes the same arguments.

Shape legend: T tokens of the kind, R runs of the kind, W rows of the executor, P pages of a row.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sglite.attention.backend import AttentionShape, HostRuns, Int32Array, Kind
from sglite.attention.page_spans import as_pages, gather_page_tables, page_spans
from sglite.errors import ConfigError

if TYPE_CHECKING:
    from sglite.kvcache.kv_pool import KVLayer

MODULES = ("flash_attn_interface", "sgl_kernel.flash_attn")
"""Where ``flash_attn_with_kvcache`` of version 3 is looked for, in this order."""

Kernel = Callable[..., torch.Tensor]


def load_kernel() -> Kernel:
    """``flash_attn_with_kvcache``; ConfigError where no module has it, or none can be loaded."""
    faults = []
    for name in MODULES:
        try:
            return importlib.import_module(name).flash_attn_with_kvcache
        except (ImportError, OSError, AttributeError) as fault:  # OSError: built for another CUDA
            faults.append(f"{name}: {fault}")
    raise ConfigError(
        f"attention_backend fa3: FlashAttention 3 cannot be loaded ({'; '.join(faults)}). "
        "Install flash-attn-3 or sgl-kernel, or choose attention_backend triton."
    )


class FA3Backend:
    """One kind of runs of one KV group.

    Decode can be captured: which pages are read, and how far, lies on the device. Chunks cannot:
    their longest run is an argument of the host.
    """

    name = "fa3"

    def __init__(self, kind: Kind, shape: AttentionShape, *, deterministic: bool = False) -> None:
        self.can_capture = kind == "decode"
        self._kernel = load_kernel()
        self._shape = shape
        # 0 lets the library split a row's keys as suits the batch, 1 keeps them in one sum.
        self._num_splits = 1 if deterministic else 0
        self._chunks = Chunks(0, 0, 0)

    def capacities(self, num_runs: int) -> dict[str, int]:
        """A word per run and array, and one more for the end of the last run."""
        return {"first_entries": num_runs, "seq_lens": num_runs, "offsets": num_runs + 1}

    def plan(self, runs: HostRuns) -> dict[str, Int32Array]:
        """Where each run's visible pages begin, and how many keys they have: with 0, nothing."""
        shape = self._shape
        spans = page_spans(runs, page_size=shape.page_size, window=shape.window)
        self._chunks = Chunks(
            num_runs=len(runs.rows_R),
            longest=int((runs.offsets[1:] - runs.offsets[:-1]).max()),
            num_pages=int(spans.num_pages_R.max()),
        )
        return {
            "first_entries": spans.first_entries_R,
            "seq_lens": spans.seq_lens_R,
            "offsets": runs.offsets,
        }

    def bind(self, staged: dict[str, torch.Tensor], page_table_WP: torch.Tensor) -> BoundFA3:
        """The attention over what is staged; of chunks, those that were planned last."""
        chunks = None if self.can_capture else self._chunks
        return BoundFA3(
            self._kernel,
            self._shape,
            staged,
            page_table_WP,
            chunks=chunks,
            num_splits=self._num_splits,
        )


@dataclass(frozen=True, slots=True)
class Chunks:
    """What the host says of a step's chunks: how many, tokens of the longest, pages of one."""

    num_runs: int
    longest: int
    num_pages: int


class BoundFA3:
    """The runs of one step, or of all replays of a captured one (``chunks`` is None)."""

    def __init__(
        self,
        kernel: Kernel,
        shape: AttentionShape,
        staged: dict[str, torch.Tensor],
        page_table_WP: torch.Tensor,
        *,
        chunks: Chunks | None,
        num_splits: int,
    ) -> None:
        self._kernel = kernel
        self._shape = shape
        self._page_table_WP = page_table_WP
        self._page_table_RP: torch.Tensor | None = None
        num_runs = len(staged["seq_lens"]) if chunks is None else chunks.num_runs
        self._first_entries_R = staged["first_entries"][:num_runs]
        # The most pages a run can have: from its table's width, the library guesses how to split.
        self._width = page_table_WP.shape[1] if chunks is None else chunks.num_pages
        self._arguments: dict[str, object] = {
            "cache_seqlens": staged["seq_lens"][:num_runs],
            "causal": True,
            "window_size": (-1, -1) if shape.window is None else (shape.window - 1, 0),
            "num_splits": num_splits,
        }
        self._is_decode = chunks is None
        if chunks is not None:
            self._arguments["cu_seqlens_q"] = staged["offsets"][: num_runs + 1]
            self._arguments["max_seqlen_q"] = chunks.longest

    def prepare(self) -> None:
        """Gather the runs' page tables."""
        self._page_table_RP = gather_page_tables(
            self._page_table_WP, self._first_entries_R, self._width
        )

    def attend(
        self,
        q_TND: torch.Tensor,
        kv_layer: KVLayer,
        out_TND: torch.Tensor,
        *,
        scale: float,
        softcap: float | None,
    ) -> None:
        """Write the attended values ``[T, N, D]``; the library has no argument to write there."""
        page_size = self._shape.page_size
        attended = self._kernel(
            q_TND[:, None] if self._is_decode else q_TND,
            as_pages(kv_layer.k_SKD, page_size),
            as_pages(kv_layer.v_SKD, page_size),
            page_table=self._page_table_RP,
            softmax_scale=scale,
            softcap=softcap or 0.0,
            **self._arguments,
        )
        out_TND.copy_(attended.view_as(q_TND))
