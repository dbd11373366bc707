"""Decode attention alone: how fast every backend reads keys and values, at every size of a batch.

The layers of a pool take turns, so that what is read comes from the memory and not from a cache.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sglite.attention.backend import AttentionBackend, BoundAttention, HostRuns
from sglite.bench.gpu_suite.attention_backends import AttentionSizes, decode_backends
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
    """Every backend, model and batch, while more than ``reserve_s`` seconds are left."""
    for shape in (suite.sizes.model, suite.sizes.big_model):
        makers = decode_backends(suite.device, attention_sizes(suite, shape))
        for (name, make), batch in itertools.product(makers.items(), suite.sizes.batches):
            if suite.left_s < reserve_s:
                suite.recorder.detail("attention", "the time was up before all were measured")
                return
            rate = read_rate(suite, shape, make(), batch)
            yield Timed(f"attention of {shape.name}, {name}, batch {batch}", rate)


def attention_sizes(suite: Suite, shape: ModelShape) -> AttentionSizes:
    """What a backend has to know of a model."""
    return AttentionSizes(
        num_heads=shape.num_heads,
        num_kv_heads=shape.num_kv_heads,
        head_dim=shape.head_dim,
        page_size=PAGE_SIZE,
        dtype=suite.dtype,
    )


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
