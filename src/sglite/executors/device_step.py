"""One step on the device, as a function over arrays that lie there: run once, or captured.

    page tables ─▶ ids, positions, slots ─▶ model ─▶ head ─▶ draw ─▶ last tokens, results

Shape legend: T tokens packed, S sampled runs, R runs, C chunks, E hidden, V vocab, W rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sglite.attention.parted import Part, PartedAttention
from sglite.executors.forward_batch import ForwardBatch
from sglite.kernels.draw import draw
from sglite.kernels.page_table import update_page_table
from sglite.kernels.step_inputs import StepInputs, StepTokens, step_inputs

if TYPE_CHECKING:
    from sglite.device import Device
    from sglite.executors.device_agreement import DeviceAgreement
    from sglite.executors.device_rows import DeviceRows
    from sglite.kvcache.kv_pool import KVPool
    from sglite.models.decoder import Decoder
    from sglite.models.piecewise_decoder import PiecewiseDecoder


@dataclass(frozen=True, slots=True)
class DeviceParts:
    """What all steps share. With ``agreement`` other ranks do them as well, with their shares."""

    model: Decoder
    kv_pool: KVPool
    rows: DeviceRows
    group_of_layer: list[int]
    agreement: DeviceAgreement | None = None

    @property
    def is_drawing(self) -> bool:
        """True where this rank draws the tokens: it alone gets logits."""
        return self.agreement is None or self.agreement.is_drawing


@dataclass(frozen=True, slots=True)
class RunShape:
    """What holds for a step's runs whenever it is done.

    ``run_offsets`` and ``seq_lens`` are for the angles alone; the longest length there can be
    stands for all where they do not depend on it. Tokens from ``first_chunk_token`` on are looked
    through.
    """

    run_offsets: list[int]
    seq_lens: list[int]
    first_chunk_token: int = 0


class DeviceStep:
    """The work of a step.

    ``views`` are the staged arrays: int32 ``rows``, ``positions`` and ``known`` of all T tokens
    (-1: what was sampled last for the row), ``sample_rows`` and ``sample_positions`` ``[S]``; where
    not every token is sampled also ``sample_tokens`` ``[S]``, and ``chunk_offsets`` ``[C + 1]`` of
    the runs whose hidden states are looked through; ``updates.<group>`` where the step writes page
    tables itself. ``results`` is int32 ``[S + C]``: tokens (-1: none can be) and how many tokens of
    each chunk have hidden states that are no numbers.

    ``logits_SV`` and ``hidden_TE`` are good until another step runs. A step that is captured gets
    memory for its logits, and keeps nothing else: what it kept of the graphs' memory no other graph
    could use. A rank that does not draw has no logits.
    """

    def __init__(
        self,
        parts: DeviceParts,
        views: dict[str, torch.Tensor],
        attention: list[list[Part]],
        shape: RunShape,
        results: torch.Tensor,
        *,
        logits_SV: torch.Tensor | None = None,
    ) -> None:
        self._parts = parts
        self._views = views
        self._bound = [part.attention for group in attention for part in group]
        self._results = results
        self._first_chunk_token = shape.first_chunk_token
        num_tokens, device = len(views["rows"]), views["rows"].device
        # Lines of 16 bytes: kernels are compiled for the alignment that they find.
        width = num_tokens + num_tokens % 2
        words = torch.empty((2 + len(attention), width), dtype=torch.int64, device=device)
        self._words = words[:, :num_tokens]
        ids_T, positions_T, *slots = self._words.unbind(0)
        self._inputs = StepInputs(ids_T, positions_T, slots)
        self._batch = ForwardBatch(
            ids_T,
            positions_T,
            [
                PartedAttention(slots_T, shape.run_offsets, shape.seq_lens, group)
                for slots_T, group in zip(slots, attention, strict=True)
            ],
            parts.group_of_layer,
        )
        self._is_captured = logits_SV is not None
        self.hidden_TE: torch.Tensor | None = None
        self.logits_SV = logits_SV

    def __call__(self) -> None:
        """Do it, in the order of the device."""
        self._begin()
        self._end(self._parts.model(self._batch, self._parts.kv_pool))

    def run_in_pieces(self, device: Device, pieces: PiecewiseDecoder) -> None:
        """Enqueue it with the decoder in captured pieces, each on its own way to the device."""
        device.run(self._begin)
        hidden_TE = pieces(self._batch, self._parts.kv_pool)
        device.run(lambda: self._end(hidden_TE))

    def _begin(self) -> None:
        """All that comes before the first layer."""
        self._lay_out()
        for bound in self._bound:
            bound.prepare()

    def _end(self, hidden_TE: torch.Tensor) -> None:
        """All that comes after the last layer."""
        if not self._is_captured:
            self.hidden_TE = hidden_TE
        self._sample(hidden_TE)
        self._count_bad(hidden_TE)

    def _lay_out(self) -> None:
        """The tokens' ids, positions and slots, with page tables as they are from this step on."""
        rows, views = self._parts.rows, self._views
        for group, table in enumerate(rows.page_tables):
            updates = views.get(f"updates.{group}")
            if updates is not None:
                update_page_table(table, updates.view(-1, 3))
        step_inputs(
            StepTokens(views["rows"], views["positions"], views["known"]),
            rows.last_token_W,
            rows.page_tables,
            self._inputs,
            page_size=self._parts.kv_pool.page_size,
        )
        if self._parts.agreement is not None:
            self._parts.agreement.begin(self._words, views["rows"] == rows.spare_row)

    def _sample(self, hidden_TE: torch.Tensor) -> None:
        """Draw a token for every sampled run, or get what rank 0 draws."""
        views, rows = self._views, self._parts.rows
        agreement = self._parts.agreement
        num_samples = len(views["sample_rows"])
        if not num_samples:
            return
        if "sample_tokens" in views:
            hidden_TE = hidden_TE.index_select(0, views["sample_tokens"])
        logits_SV = self._parts.model.compute_logits(hidden_TE, widen=False)
        if self._parts.is_drawing:
            self._draw(logits_SV)
        if agreement is not None:
            token_ids_S = self._results[:num_samples]
            agreement.share(token_ids_S, views["sample_rows"], rows.last_token_W)

    def _draw(self, logits_SV: torch.Tensor) -> None:
        """Tokens from logits, which are kept for the sampler."""
        views, rows = self._views, self._parts.rows
        if self._is_captured:
            assert self.logits_SV is not None
            self.logits_SV.copy_(logits_SV)
        else:
            self.logits_SV = logits_SV
        draw(
            self.logits_SV,
            views["sample_rows"],
            views["sample_positions"],
            rows.parameters,
            last_token_W=rows.last_token_W,
            token_ids_R=self._results[: len(logits_SV)],
        )

    def _count_bad(self, hidden_TE: torch.Tensor) -> None:
        """Tokens of each chunk whose hidden states hold a NaN or an infinity.

        Pages of a chunk enter the prefix cache before anything is sampled from them; a decode's do
        not, and its logits tell.
        """
        offsets = self._views.get("chunk_offsets")
        if offsets is None:
            return
        is_bad_T = ~hidden_TE[self._first_chunk_token :].isfinite().all(dim=-1)
        counts = is_bad_T.cumsum(0)
        counts = torch.cat((counts.new_zeros(1), counts))
        at = counts.index_select(0, offsets)
        num_samples = len(self._views["sample_rows"])
        self._results[num_samples:] = at[1:] - at[:-1]
