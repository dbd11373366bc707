"""Paged attention by every backend that there is, against torch's in float32.

What is small is compared with what the host computes, what is large with torch on the same device:
a host would take as long for that as all the rest of the suite. Slots that no token sees hold NaN:
what is read and should not be shows.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from sglite.attention.backend import AttentionShape, HostRuns, Kind
from sglite.bench.gpu_suite.attention_backends import all_backends
from sglite.bench.gpu_suite.attention_timing import bind
from sglite.bench.gpu_suite.kernel_checks.case import Case, Pair, Place
from sglite.executors.forward_batch import AttentionMetadata
from sglite.kernels.paged_attention import paged_attention
from sglite.kvcache.kv_pool import KVLayer

SCALE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """``(new tokens, KV length after them)`` of the runs of one kind, and the sizes of heads.

    The first ``num_shared_pages`` pages of all runs are the same.
    """

    name: str
    runs: tuple[tuple[int, int], ...]
    num_kv_heads: int = 2
    group: int = 2
    head_dim: int = 64
    page_size: int = 64
    window: int | None = None
    softcap: float | None = None
    num_shared_pages: int = 0
    is_large: bool = False


DECODE = (
    Runs(name="one token alone", runs=((1, 1),)),
    Runs(name="page edges", runs=tuple((1, length) for length in (63, 64, 65, 128, 129))),
    Runs(name="small pages", runs=((1, 15), (1, 16), (1, 17), (1, 40)), page_size=16),
    Runs(name="window", runs=((1, 5), (1, 100), (1, 64)), window=30),
    Runs(name="softcap", runs=((1, 70),), softcap=5.0),
    Runs(name="shared prefix", runs=((1, 321), (1, 400), (1, 385)), num_shared_pages=5),
    Runs(
        name="lengths far apart",
        runs=tuple((1, 1 + 997 * place) for place in range(9)),
        num_kv_heads=8,
        head_dim=128,
        is_large=True,
    ),
    Runs(
        name="256 x 1,024 as Qwen3-0.6B",
        runs=((1, 1024),) * 256,
        num_kv_heads=8,
        head_dim=128,
        is_large=True,
    ),
    Runs(
        name="64 x 777 as Qwen3-14B",
        runs=((1, 777),) * 64,
        num_kv_heads=8,
        group=5,
        head_dim=128,
        is_large=True,
    ),
    Runs(name="one of 20,000", runs=((1, 20_000),), num_kv_heads=8, head_dim=128, is_large=True),
    Runs(name="heads of 80", runs=((1, 100), (1, 300)), head_dim=80, is_large=True),
    Runs(
        name="100 behind a prefix of 1,024",
        runs=tuple((1, 1030 + place) for place in range(100)),
        num_kv_heads=8,
        head_dim=128,
        num_shared_pages=16,
        is_large=True,
    ),
)
PREFILL = (
    Runs(name="odd", runs=((13, 13),)),
    Runs(name="after a prefix", runs=((13, 50), (2, 9))),
    Runs(name="window", runs=((20, 70), (9, 9)), window=7),
    Runs(
        name="chunks as Qwen3-0.6B",
        runs=((1000, 1000), (777, 1500), (2, 2000), (513, 513)),
        num_kv_heads=8,
        head_dim=128,
        is_large=True,
    ),
    Runs(
        name="chunk as Qwen3-14B",
        runs=((2048, 2500),),
        num_kv_heads=8,
        group=5,
        head_dim=128,
        is_large=True,
    ),
)


def cases() -> list[Case]:
    """Every kind of runs; each takes all backends that can."""
    tables: dict[Kind, tuple[Runs, ...]] = {"decode": DECODE, "prefill": PREFILL}
    return [
        Case("paged_attention", f"{kind}, {runs.name}", partial(attend, runs, kind), runs.is_large)
        for kind, table in tables.items()
        for runs in table
    ]


def attend(runs: Runs, kind: Kind, place: Place) -> list[Pair]:
    """One pair for each backend."""
    inputs = make_inputs(runs, place)
    expected = inputs.expected(runs)
    q_TND, layer = inputs.moved(place.device)
    pairs = []
    for make in all_backends(place.device, shape_of(runs, place.dtype), kind).values():
        bound = bind(make(), inputs.host_runs(), place.device)
        out_TND = torch.full_like(q_TND, torch.nan)
        bound.attend(q_TND, layer, out_TND, scale=SCALE, softcap=runs.softcap)
        pairs.append(Pair(out_TND, expected))
    return pairs


def shape_of(runs: Runs, dtype: torch.dtype) -> AttentionShape:
    """What a backend is told."""
    return AttentionShape(
        num_heads=runs.num_kv_heads * runs.group,
        num_kv_heads=runs.num_kv_heads,
        head_dim=runs.head_dim,
        page_size=runs.page_size,
        dtype=dtype,
        scale=SCALE,
        window=runs.window,
        softcap=runs.softcap,
    )


@dataclass(frozen=True, slots=True)
class Inputs:
    """Queries and a pool's layer, where the expected is computed; the host's page table."""

    q_TND: torch.Tensor
    k_SKD: torch.Tensor
    v_SKD: torch.Tensor
    table: np.ndarray[tuple[int, ...], np.dtype[np.int32]]
    offsets: list[int]
    lengths: list[int]

    def moved(self, device: torch.device) -> tuple[torch.Tensor, KVLayer]:
        """Queries and layer on another device."""
        return self.q_TND.to(device), KVLayer(self.k_SKD.to(device), self.v_SKD.to(device))

    def host_runs(self) -> HostRuns:
        """As an executor tells them."""
        return HostRuns(
            np.arange(len(self.lengths), dtype=np.int32),
            np.asarray(self.offsets, dtype=np.int32),
            np.asarray(self.lengths, dtype=np.int32),
            self.table,
            1,
        )

    def expected(self, runs: Runs) -> torch.Tensor:
        """By torch in float32, rounded to the type of the queries."""
        device = self.q_TND.device
        metadata = AttentionMetadata(
            page_table_RP=torch.from_numpy(self.table).to(device),
            out_slots_T=torch.empty(0, dtype=torch.int64, device=device),
            run_offsets=self.offsets,
            seq_lens=self.lengths,
            seq_lens_R=torch.tensor(self.lengths, dtype=torch.int32, device=device),
            page_size=runs.page_size,
            window=runs.window,
        )
        layer = KVLayer(self.k_SKD.float(), self.v_SKD.float())
        attended = paged_attention(
            self.q_TND.float(), layer, metadata, scale=SCALE, softcap=runs.softcap
        )
        return attended.to(self.q_TND.dtype)


def make_inputs(runs: Runs, place: Place) -> Inputs:
    """Random numbers in scattered pages; a page that nobody has, and the ends of pages, are NaN."""
    counts = [-(-length // runs.page_size) for _, length in runs.runs]
    order = random.Random(1).sample(range(1, 1 + sum(counts)), sum(counts))
    table = np.zeros((len(counts), max(counts)), dtype=np.int32)
    shape = ((1 + sum(counts)) * runs.page_size, runs.num_kv_heads, runs.head_dim)
    device = place.device if runs.is_large else torch.device("cpu")
    randn = partial(torch.randn, dtype=place.dtype, device=device)
    k_SKD, v_SKD = (randn(shape).fill_(torch.nan) for _ in range(2))
    offsets = [0]
    for row, (count, (num_new, length)) in enumerate(zip(counts, runs.runs, strict=True)):
        table[row, :count] = [order.pop() for _ in range(count)]
        table[row, : runs.num_shared_pages] = table[0, : runs.num_shared_pages]
        positions = np.arange(length)
        slots = table[row, positions // runs.page_size].astype(np.int64) * runs.page_size
        slots_S = torch.from_numpy(slots + positions % runs.page_size).to(device)
        for pool in (k_SKD, v_SKD):
            pool[slots_S] = randn((length, *shape[1:]))
        offsets.append(offsets[-1] + num_new)
    heads = runs.num_kv_heads * runs.group
    q_TND = randn((offsets[-1], heads, runs.head_dim))
    return Inputs(q_TND, k_SKD, v_SKD, table, offsets, [length for _, length in runs.runs])
