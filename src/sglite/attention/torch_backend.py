"""Attention with torch's scaled_dot_product_attention over gathered pages, on any device.

What the other backends must equal, and what runs where none of them does. It reads lengths on the
host, so it cannot be captured.

Shape legend: T tokens of the kind, R runs of the kind, W rows of the executor, P pages of a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sglite.attention.backend import HostRuns, Int32Array
from sglite.executors.forward_batch import AttentionMetadata
from sglite.kernels.paged_attention import paged_attention

if TYPE_CHECKING:
    from sglite.kvcache.kv_pool import KVLayer


class TorchBackend:
    """Either kind of runs; scale and softcap come with each layer."""

    name = "torch"
    can_capture = False

    def __init__(self, *, page_size: int, window: int | None = None) -> None:
        self._page_size = page_size
        self._window = window
        self._offsets: list[int] = [0]
        self._seq_lens: list[int] = []

    def capacities(self, num_runs: int) -> dict[str, int]:
        """A row and a length per run."""
        return {"rows": num_runs, "seq_lens": num_runs}

    def plan(self, runs: HostRuns) -> dict[str, Int32Array]:
        """Rows and lengths. :meth:`bind` takes the lengths from the host, too."""
        self._offsets, self._seq_lens = runs.offsets.tolist(), runs.seq_lens_R.tolist()
        return {"rows": runs.rows_R, "seq_lens": runs.seq_lens_R}

    def bind(self, staged: dict[str, torch.Tensor], page_table_WP: torch.Tensor) -> BoundTorch:
        """The attention of the step that was planned last."""
        num_runs = len(self._seq_lens)
        metadata = AttentionMetadata(
            page_table_RP=page_table_WP,  # of the runs once it is prepared
            out_slots_T=torch.empty(0, dtype=torch.int64, device=page_table_WP.device),
            run_offsets=self._offsets,
            seq_lens=self._seq_lens,
            seq_lens_R=staged["seq_lens"][:num_runs],
            page_size=self._page_size,
            window=self._window,
        )
        return BoundTorch(metadata, staged["rows"][:num_runs], page_table_WP)


class BoundTorch:
    """The runs of one step."""

    def __init__(
        self, metadata: AttentionMetadata, rows_R: torch.Tensor, page_table_WP: torch.Tensor
    ) -> None:
        self._metadata = metadata
        self._rows_R = rows_R
        self._page_table_WP = page_table_WP

    def prepare(self) -> None:
        """Gather the runs' page tables, as they are on the device now."""
        num_pages = -(-max(self._metadata.seq_lens) // self._metadata.page_size)
        self._metadata.page_table_RP = self._page_table_WP[self._rows_R, :num_pages]
        self._metadata.kernel_plan = None

    def attend(
        self,
        q_TND: torch.Tensor,
        kv_layer: KVLayer,
        out_TND: torch.Tensor,
        *,
        scale: float,
        softcap: float | None,
    ) -> None:
        """Write the attended values ``[T, N, D]`` to ``out_TND``."""
        attended_TND = paged_attention(
            q_TND, kv_layer, self._metadata, scale=scale, softcap=softcap
        )
        out_TND.copy_(attended_TND)
