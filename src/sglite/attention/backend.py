"""What an attention backend is: it plans a kind of run on the host and attends it on the device.

A step's runs fall in two kinds, single tokens (decode) and longer ones (prefill), and each kind has
a backend of its own. A backend lives as long as its executor, one object per KV group and kind.

    plan      host, every step: small arrays that say what is to be read
    (staged)  the executor copies them to the device, with all else of the step, in one copy
    bind      once for an eager step; once for all replays of a captured one
    prepare   device, once a step: what all layers share
    attend    device, every layer

A replay does what was captured of the last two.

Shape legend: T tokens of the kind, R runs of the kind, W rows of the executor, P pages of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import torch

if TYPE_CHECKING:
    from sglite.kvcache.kv_pool import KVLayer

Int32Array = np.ndarray[tuple[int, ...], np.dtype[np.int32]]

Kind = Literal["prefill", "decode"]
"""Runs of several tokens, and single tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionShape:
    """What the layers of a KV group have in common: sizes, and how scores come from q·k.

    ``dtype`` is that of the queries and of the KV pool. Scores are ``scale * q·k``, with a
    ``softcap`` then softly below it; a ``window`` w leaves each token its w newest keys.
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    page_size: int
    dtype: torch.dtype
    scale: float
    softcap: float | None = None
    window: int | None = None


@dataclass(frozen=True, slots=True)
class HostRuns:
    """The runs of one kind in a step, as the host knows them.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | rows_R | [R] | int32 | row of each run in the page table |
    | offsets | [R + 1] | int32 | first token of each run among those of its kind, then T |
    | seq_lens_R | [R] | int32 | KV length of each sequence after this step |
    | page_table_WP | [W, P] | int32 | the host's copy of the page table; not to be kept |
    | tables_version | | int | grows when a page that was in the table is replaced, or a row is
    filled or cleared; not when a row gets a further page |
    | is_replayed | | bool | the step is a captured graph's; its runs are padded to the graph's |
    """

    rows_R: Int32Array
    offsets: Int32Array
    seq_lens_R: Int32Array
    page_table_WP: Int32Array
    tables_version: int
    is_replayed: bool = False


class BoundAttention(Protocol):
    """The attention of one kind of runs over arrays that lie on the device."""

    def prepare(self) -> None:
        """Enqueue what every layer reads and no layer changes."""

    def attend(
        self,
        q_TND: torch.Tensor,
        kv_layer: KVLayer,
        out_TND: torch.Tensor,
        *,
        scale: float,
        softcap: float | None,
    ) -> None:
        """Write the attended values of the kind's T tokens to ``out_TND`` (dtype of q)."""


class AttentionBackend(Protocol):
    """One way to attend one kind of runs."""

    name: str
    can_capture: bool
    """True where ``attend`` reads nothing of the host, so that a replay sees the new arrays."""

    def capacities(self, num_runs: int) -> dict[str, int]:
        """Int32 words that each array of :meth:`plan` takes at most, for so many single tokens."""

    def plan(self, runs: HostRuns) -> dict[str, Int32Array]:
        """Arrays to stage. Shorter ones are padded with zeros up to their capacity, which must
        mean nothing to do.

        Called when all earlier steps are enqueued: that of a replay may enqueue work of its own.
        """

    def bind(self, staged: dict[str, torch.Tensor], page_table_WP: torch.Tensor) -> BoundAttention:
        """The attention over these flat int32 arrays of the device and its page table: of the
        eager step that was planned last, or, with none since the last call, of a captured one."""
