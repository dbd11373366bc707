"""Decode attention alone: how fast every backend reads keys and values, at every size of a batch.

The layers of a pool take turns, so that what is read comes from the memory and not from a cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sglite.attention.backend import (
    AttentionBackend,
    AttentionShape,
    BoundAttention,
    HostRuns,
)
from sglite.bench.gpu_suite.attention_backends import Make, all_backends, decode_launches
from sglite.bench.gpu_suite.shapes import BYTES, ModelShape
from sglite.bench.gpu_suite.suite import Suite
from sglite.bench.gpu_suite.timing import Work, seconds_each
from sglite.kvcache.groups import KVGroup
from sglite.kvcache.kv_pool import KVPool

PAGE_SIZE = 64
LEAST_READ_BYTES = 256 << 20
"""Bytes that a round over the layers reads at least: several times a GPU's second-level cache."""

MOST_LAYERS = 64


@dataclass(frozen=True, slots=True)
class Timed:
    """What one backend gave for one batch."""

    name: str
    bytes_per_s: float


def measure(suite: Suite, *, reserve_s: float) -> Iterator[Timed]:
    """Every backend, model and batch, then other layouts, while ``reserve_s`` seconds are left.

    A backend that fails is a check that does not hold, and costs the others nothing.
    """
    shapes = (suite.sizes.model, suite.sizes.big_model)
    some = suite.sizes.batches[::-2]
    for find, batches in ((decode_backends, suite.sizes.batches), (decode_launches, some)):
        for shape in shapes:
            makers = find(suite.device, attention_shape(suite, shape))
            for name, make in makers.items():
                yield from _all_batches(suite, shape, (name, make), batches, reserve_s=reserve_s)


def _all_batches(
    suite: Suite,
    shape: ModelShape,
    named: tuple[str, Make],
    batches: Sequence[int],
    *,
    reserve_s: float,
) -> Iterator[Timed]:
    name, make = named
    title = f"attention of {shape.name}, {name}"
    for batch in batches:
        if suite.left_s < reserve_s:
            suite.recorder.detail(title, f"the time was up before batch {batch}")
            return
        try:
            rate = read_rate(suite, shape, make(), batch)
        except Exception as fault:  # the others are to be measured, too
            if suite.is_cuda and "CUDA error" in str(fault):
                raise  # nothing can be measured on this device any more
            suite.check(title, False, f"{type(fault).__name__}: {str(fault)[:500]}")
            return
        yield Timed(f"{title}, batch {batch}", rate)


def attention_shape(suite: Suite, shape: ModelShape) -> AttentionShape:
    """What a backend has to know of a model."""
    return AttentionShape(
        num_heads=shape.num_heads,
        num_kv_heads=shape.num_kv_heads,
        head_dim=shape.head_dim,
        page_size=PAGE_SIZE,
        dtype=suite.dtype,
        scale=shape.head_dim**-0.5,
    )


def decode_backends(device: torch.device, shape: AttentionShape) -> dict[str, Make]:
    """Those of single tokens."""
    return all_backends(device, shape, "decode")


def read_rate(suite: Suite, shape: ModelShape, backend: AttentionBackend, batch: int) -> float:
    """Bytes of keys and values per second, for sequences of the suite's context."""
    length = suite.sizes.decode_context
    layer_bytes = 2 * batch * length * shape.num_kv_heads * shape.head_dim * BYTES
    enough = 1 if suite.sizes.is_toy else -(-LEAST_READ_BYTES // layer_bytes)
    pool, table = scattered_pool(suite, shape, batch, length, layers=min(enough, MOST_LAYERS))
    runs = decode_runs(table, length)
    bound = bind(backend, runs, suite.device)
    q_TND = torch.randn(
        (batch, shape.num_heads, shape.head_dim), device=suite.device, dtype=suite.dtype
    )
    out_TND = torch.empty_like(q_TND)
    scale = shape.head_dim**-0.5

    def attend(layer: int) -> Work:
        kv_layer = pool.layer(layer)
        return lambda: bound.attend(q_TND, kv_layer, out_TND, scale=scale, softcap=None)

    works = [attend(layer) for layer in range(len(pool.groups[0].layers))]
    seconds = seconds_each(
        works, suite.device, timed_s=suite.sizes.timed_s, is_captured=backend.can_capture
    )
    return layer_bytes / seconds


def scattered_pool(
    suite: Suite, shape: ModelShape, batch: int, length: int, *, layers: int
) -> tuple[KVPool, np.ndarray[tuple[int, ...], np.dtype[np.int32]]]:
    """A pool of random numbers, and the page table of sequences whose pages lie anywhere in it."""
    pages_each = -(-length // PAGE_SIZE)
    num_pages = batch * pages_each
    pool = KVPool(
        [KVGroup("paged_full", tuple(range(layers)))],
        [num_pages],
        page_size=PAGE_SIZE,
        num_kv_heads=shape.num_kv_heads,
        head_dim=shape.head_dim,
        dtype=suite.dtype,
        device=suite.device,
    )
    pool.storage[0].normal_()
    places = np.random.default_rng(0).permutation(num_pages).astype(np.int32)
    return pool, places.reshape(batch, pages_each)


def decode_runs(table: np.ndarray[tuple[int, ...], np.dtype[np.int32]], length: int) -> HostRuns:
    """One new token for every row of a page table."""
    batch = len(table)
    return HostRuns(
        np.arange(batch, dtype=np.int32),
        np.arange(batch + 1, dtype=np.int32),
        np.full(batch, length, dtype=np.int32),
        table,
        1,
    )


def bind(backend: AttentionBackend, runs: HostRuns, device: torch.device) -> BoundAttention:
    """Plan, stage and prepare a step, as an executor does."""
    arrays: dict[str, Any] = backend.plan(runs)
    capacities = backend.capacities(len(runs.rows_R))
    staged = {}
    for name, array in arrays.items():
        padded = np.zeros(max(capacities.get(name, 0), array.size), dtype=np.int32)
        padded[: array.size] = array.ravel()
        staged[name] = torch.from_numpy(padded).to(device)
    bound = backend.bind(staged, torch.from_numpy(runs.page_table_WP).to(device))
    bound.prepare()
    return bound
