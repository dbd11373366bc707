"""Paged attention with torch's scaled_dot_product_attention, for CPU and MPS.

Runs of one token (decode) are attended together: their keys are gathered into one padded tensor
per length class. Longer runs (prefill) are attended one by one, in blocks of queries. Query heads
that share a KV head are laid out so that its keys are read once and never repeated in memory.

What to gather follows from the metadata alone, so it is worked out in the first layer of a group
and kept in ``metadata.kernel_plan`` for the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import scaled_dot_product_attention

from sglite.kernels.kv_store import load_kv

if TYPE_CHECKING:
    from sglite.executors.forward_batch import AttentionMetadata
    from sglite.kvcache.kv_pool import KVLayer

QUERY_BLOCK = 512
"""Queries of a long run attended at once; bounds the mask to this many rows."""

SHORTEST_CLASS = 64
"""Decode runs that see fewer keys than this are padded to one length; beyond, within 2x."""


@dataclass(frozen=True, slots=True)
class DecodeClass:
    """Runs of one token that see about equally many keys.

    ``tokens`` indexes the packed tokens, None where it is all of them in order. ``slots_RS`` is
    padded with each row's newest slot, which is always written, so that no stale value is read;
    ``is_visible_R11S`` hides the padding, None where there is none.
    """

    tokens: torch.Tensor | None
    slots_RS: torch.Tensor
    is_visible_R11S: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class QueryBlock:
    """``count`` queries of a run from ``position`` on, which see keys from ``first`` on."""

    position: int
    count: int
    first: int
    window: int | None

    @property
    def is_plainly_causal(self) -> bool:
        """True where query i of the block sees exactly the keys 0..i."""
        return self.position == 0 and (self.window is None or self.count <= self.window)

    def visible(self, device: torch.device) -> torch.Tensor:
        """Which keys from ``first`` on each query sees: bool ``[T, S]``.

        Made anew for each layer: kept, the masks of a long prompt would outgrow its KV.
        """
        end = self.position + self.count
        queries_T1 = torch.arange(self.position, end, device=device)[:, None]
        keys_S = torch.arange(self.first, end, device=device)
        is_visible_TS = keys_S <= queries_T1
        if self.window is not None:
            is_visible_TS &= keys_S > queries_T1 - self.window
        return is_visible_TS


@dataclass(frozen=True, slots=True)
class LongRun:
    """A run of several tokens: packed from ``begin`` on, at positions from ``start`` on.

    ``slots_S`` are those of the keys that any of them sees, in order, from ``first`` on.
    """

    begin: int
    start: int
    first: int
    slots_S: torch.Tensor
    blocks: list[QueryBlock]


@dataclass(frozen=True, slots=True)
class Scores:
    """How scores come from q·k: times ``scale``, then softly capped where there is a cap."""

    scale: float
    softcap: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that all layers of a group share."""

    decodes: list[DecodeClass]
    long_runs: list[LongRun]


def paged_attention(
    q_TND: torch.Tensor,
    kv_layer: KVLayer,
    metadata: AttentionMetadata,
    *,
    scale: float,
    softcap: float | None = None,
) -> torch.Tensor:
    """See the package."""
    scores = Scores(scale, softcap)
    plan = metadata.kernel_plan
    if not isinstance(plan, Plan):
        plan = metadata.kernel_plan = make_plan(metadata)
    if len(plan.decodes) == 1 and plan.decodes[0].tokens is None:
        return _attend_decodes(q_TND, kv_layer, plan.decodes[0], scores)
    out_TND = torch.empty_like(q_TND)
    for decodes in plan.decodes:
        assert decodes.tokens is not None, "a class without indices stands alone"
        attended = _attend_decodes(q_TND[decodes.tokens], kv_layer, decodes, scores)
        out_TND.index_copy_(0, decodes.tokens, attended)
    for run in plan.long_runs:
        _attend_long_run(q_TND, kv_layer, run, scores, out_TND)
    return out_TND


def _attend_decodes(
    q_RND: torch.Tensor, kv_layer: KVLayer, decodes: DecodeClass, scores: Scores
) -> torch.Tensor:
    """``[R, N, D]``; a group's heads stand where SDPA expects queries: one read of the keys."""
    num_rows, num_heads, dim = q_RND.shape
    slots_RS = decodes.slots_RS
    k_RKSD, v_RKSD = (
        x_SKD.unflatten(0, slots_RS.shape).transpose(1, 2)
        for x_SKD in load_kv(kv_layer, slots_RS.flatten(), q_RND.dtype)
    )
    num_kv_heads = k_RKSD.shape[1]
    q_RKGD = q_RND.reshape(num_rows, num_kv_heads, num_heads // num_kv_heads, dim)
    out_RKGD = _attend(q_RKGD, k_RKSD, v_RKSD, scores, decodes.is_visible_R11S)
    return out_RKGD.reshape(num_rows, num_heads, dim)


def _attend_long_run(
    q_TND: torch.Tensor, kv_layer: KVLayer, run: LongRun, scores: Scores, out_TND: torch.Tensor
) -> None:
    """Fill the run's rows of ``out_TND``; a KV head is a batch entry, its query heads the heads."""
    k_KSD, v_KSD = (x_SKD.transpose(0, 1) for x_SKD in load_kv(kv_layer, run.slots_S, q_TND.dtype))
    heads = (k_KSD.shape[0], q_TND.shape[1] // k_KSD.shape[0])
    for block in run.blocks:
        begin = run.begin + block.position - run.start
        q_KGTD = q_TND[begin : begin + block.count].unflatten(1, heads).permute(1, 2, 0, 3)
        seen = slice(block.first - run.first, block.position + block.count - run.first)
        is_visible_TS = None
        if scores.softcap is not None or not block.is_plainly_causal:
            is_visible_TS = block.visible(q_TND.device)
        out_KGTD = _attend(
            q_KGTD,
            k_KSD[:, None, seen].expand(-1, heads[1], -1, -1),
            v_KSD[:, None, seen].expand(-1, heads[1], -1, -1),
            scores,
            is_visible_TS,
            is_causal=is_visible_TS is None,
        )
        out_TND[begin : begin + block.count] = out_KGTD.permute(2, 0, 1, 3).flatten(1, 2)


def _attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scores: Scores,
    is_visible: torch.Tensor | None,
    *,
    is_causal: bool = False,
) -> torch.Tensor:
    """SDPA; with a soft cap, which it lacks, its parts one by one in float32."""
    if scores.softcap is None:
        return scaled_dot_product_attention(
            q, k, v, attn_mask=is_visible, is_causal=is_causal, scale=scores.scale
        )
    assert not is_causal, "with a cap, what is visible is said by a mask"
    capped = q.float() @ k.float().transpose(-1, -2) * (scores.scale / scores.softcap)
    capped = capped.tanh_().mul_(scores.softcap)
    if is_visible is not None:
        capped.masked_fill_(~is_visible, -torch.inf)
    return (capped.softmax(dim=-1) @ v.float()).to(q.dtype)


def make_plan(metadata: AttentionMetadata) -> Plan:
    """Sort the runs into classes and work out which slots each reads."""
    offsets = metadata.run_offsets
    classes: dict[int, list[int]] = {}
    long_runs = []
    for run, seq_len in enumerate(metadata.seq_lens):
        if offsets[run + 1] - offsets[run] > 1:
            long_runs.append(_plan_long_run(metadata, run))
            continue
        num_keys = min(seq_len, metadata.window or seq_len)
        classes.setdefault(max(num_keys - 1, SHORTEST_CLASS - 1).bit_length(), []).append(run)
    decodes = [_plan_decodes(metadata, runs) for runs in classes.values()]
    return Plan(decodes, long_runs)


def _plan_decodes(metadata: AttentionMetadata, runs: list[int]) -> DecodeClass:
    device = metadata.page_table_RP.device
    is_all = len(runs) == len(metadata.seq_lens)
    runs_R = torch.tensor(runs, device=device)
    page_table_RP = metadata.page_table_RP if is_all else metadata.page_table_RP[runs_R]
    lens = [metadata.seq_lens[run] for run in runs]
    counts = [min(length, metadata.window or length) for length in lens]
    steps_S = torch.arange(max(counts), device=device)
    lens_R1 = torch.tensor(lens, device=device)[:, None]
    counts_R1 = torch.tensor(counts, device=device)[:, None]
    positions_RS = torch.minimum(lens_R1 - counts_R1 + steps_S, lens_R1 - 1)
    slots_RS = _slots(page_table_RP, positions_RS, metadata.page_size)
    is_padded = min(counts) < max(counts)
    is_visible_R11S = (steps_S < counts_R1)[:, None, None] if is_padded else None
    tokens = [metadata.run_offsets[run] for run in runs]
    return DecodeClass(
        None if is_all else torch.tensor(tokens, device=device), slots_RS, is_visible_R11S
    )


def _plan_long_run(metadata: AttentionMetadata, run: int) -> LongRun:
    begin, end = metadata.run_offsets[run], metadata.run_offsets[run + 1]
    seq_len, window = metadata.seq_lens[run], metadata.window
    start = seq_len - (end - begin)
    first = _first_visible(start, window)
    positions_1S = torch.arange(first, seq_len, device=metadata.page_table_RP.device)[None]
    slots_1S = _slots(metadata.page_table_RP[run][None], positions_1S, metadata.page_size)
    blocks = []
    for position in range(start, seq_len, QUERY_BLOCK):
        count = min(QUERY_BLOCK, seq_len - position)
        blocks.append(QueryBlock(position, count, _first_visible(position, window), window))
    return LongRun(begin, start, first, slots_1S[0], blocks)


def _first_visible(position: int, window: int | None) -> int:
    return 0 if window is None else max(0, position - window + 1)


def _slots(page_table_RP: torch.Tensor, positions_RS: torch.Tensor, page_size: int) -> torch.Tensor:
    """Slot of each position of each row, int64 ``[R, S]``."""
    pages_RS = positions_RS // page_size
    page_ids_RS = page_table_RP.gather(1, pages_RS).long()
    return page_ids_RS * page_size + positions_RS % page_size
