"""The Triton kernel of attention over work lists, by both loaders of tiles, against torch's.

The lists are those of the Triton backend, padded as a captured graph has them. With
``deterministic`` keys are divided at fixed places. Layouts that change nothing but the time are
tried on one list alone: each is another kernel to compile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from sglite.attention.backend import Kind
from sglite.attention.choose import make_backend
from sglite.bench.gpu_suite.attention_backends import CPU_PROGRAMS, LAUNCHES
from sglite.bench.gpu_suite.attention_timing import bind
from sglite.bench.gpu_suite.kernel_checks.attention_cases import (
    DECODE,
    PREFILL,
    SCALE,
    Runs,
    make_inputs,
    shape_of,
)
from sglite.bench.gpu_suite.kernel_checks.case import Case, Pair, Place
from sglite.kernels.paged_attention import work_reference
from sglite.kernels.paged_attention.work_list import TILE_KEYS, DeviceWork, Scores

if TYPE_CHECKING:
    from sglite.kvcache.kv_pool import KVLayer

Attend = Callable[..., None]

MAX_SEQ_LEN = 32_768
LONG = Runs(name="divided keys", runs=((1, 1100), (1, 100)), num_kv_heads=1)
LARGE_PROGRAMS = 132
LOADERS = ("triton, descriptors",)


def cases() -> list[Case]:
    """The runs that the backends are checked with, and long keys, which are divided."""
    tables: dict[Kind, tuple[Runs, ...]] = {"decode": (*DECODE, LONG), "prefill": PREFILL}
    return [
        Case("paged_attention", f"work list of {kind}, {runs.name}{words}", run, runs.is_large)
        for kind, table in tables.items()
        for runs in table
        for is_deterministic, words in ((False, ""), (True, ", deterministic"))
        for run in [partial(attend, runs, kind, is_deterministic)]
    ]


def attend(runs: Runs, kind: Kind, is_deterministic: bool, place: Place) -> list[Pair]:
    """One pair for each layout of the kernel that can be."""
    inputs = make_inputs(runs, place)
    q_TND, layer = inputs.moved(place.device)
    backend = make_backend(
        "triton",
        kind,
        shape_of(runs, place.dtype),
        place.device,
        max_seq_len=MAX_SEQ_LEN if runs.is_large else max(inputs.lengths),
        num_multiprocessors=LARGE_PROGRAMS if runs.is_large else CPU_PROGRAMS,
        deterministic=is_deterministic,
    )
    bound: Any = bind(backend, inputs.host_runs(), place.device)
    expected = inputs.expected(runs)
    pairs = []
    for compute in _layouts(place, runs, bound.work, layer):
        bound.work.partials_SNX.fill_(torch.nan)
        out_TND = torch.full_like(q_TND, torch.nan)
        compute(
            q_TND,
            layer,
            bound.page_table_WP,
            bound.work,
            out_TND,
            page_size=runs.page_size,
            scores=Scores(SCALE, runs.softcap),
        )
        pairs.append(Pair(out_TND, expected))
    return pairs


def _layouts(place: Place, runs: Runs, work: DeviceWork, layer: KVLayer) -> Iterator[Attend]:
    """The kernel as it launches itself, then otherwise; the reference where there is no Triton."""
    if not place.uses_triton:
        yield work_reference.attend
        return
    kernel = place.implementation("paged_attention", "triton_attention")
    yield kernel.attend
    own = kernel.launch_of(work, layer.k_SKD)
    for name in LAUNCHES if runs is LONG else LOADERS:
        launch = replace(own, **LAUNCHES[name])
        if not launch.uses_descriptors or has_descriptors(runs):
            yield partial(kernel.attend, launch=launch)


def has_descriptors(runs: Runs) -> bool:
    """True where tiles of keys are whole pieces of pages, and heads blocks of the kernel."""
    is_block = runs.head_dim >= 16 and runs.head_dim & (runs.head_dim - 1) == 0
    return is_block and runs.page_size % TILE_KEYS == 0
