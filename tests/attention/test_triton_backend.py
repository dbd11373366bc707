from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sglite.attention import triton_backend
from sglite.attention.backend import HostRuns
from sglite.attention.triton_backend import AttentionShape, TritonBackend
from sglite.executors.forward_batch import AttentionMetadata
from sglite.kernels.paged_attention import reference
from sglite.kernels.paged_attention.work_list import ITEM_WORDS
from sglite.kvcache.kv_pool import KVLayer
from tests.kernels.triton_harness import DEVICE, assert_close

PAGE = 16
SHAPE = AttentionShape(
    num_heads=4, num_kv_heads=2, head_dim=16, page_size=PAGE, dtype=torch.float32, scale=1.0
)


@dataclass(frozen=True)
class Step:
    """Runs over a pool whose slots that are not read hold NaN."""

    runs: HostRuns
    q_TND: torch.Tensor
    kv_layer: KVLayer


def make_step(rows: list[tuple[int, int]], paths: list[list[int]] | None = None) -> Step:
    """Rows of ``(new tokens, KV length)``; ``paths`` are their pages, by default their own."""
    generator = torch.Generator().manual_seed(3)
    order = np.random.default_rng(4).permutation(len(rows) + 2)[: len(rows)].astype(np.int32)
    lengths = np.asarray([length for _, length in rows], dtype=np.int32)
    if paths is None:
        ends = np.cumsum(-(-lengths // PAGE))
        paths = [
            list(range(1 + end + length // -PAGE, 1 + end))
            for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)
        ]
    table = np.zeros((len(rows) + 2, max(map(len, paths)) + 1), dtype=np.int32)
    num_slots = (1 + max(map(max, paths))) * PAGE
    k_SKD, v_SKD = (torch.full((num_slots, 2, 16), torch.nan) for _ in range(2))
    for row, path, length in zip(order, paths, lengths.tolist(), strict=True):
        table[row, : len(path)] = path
        slots = [path[key // PAGE] * PAGE + key % PAGE for key in range(length)]
        for pool_SKD in (k_SKD, v_SKD):
            fresh = torch.randn(length, 2, 16, generator=generator)
            pool_SKD[slots] = torch.where(pool_SKD[slots].isnan(), fresh, pool_SKD[slots])
    offsets = np.cumsum([0, *(new for new, _ in rows)]).astype(np.int32)
    q_TND = torch.randn(int(offsets[-1]), 4, 16, generator=generator)
    return Step(HostRuns(order, offsets, lengths, table, 1), q_TND, KVLayer(k_SKD, v_SKD))


def make_backend(shape=SHAPE, *, is_decode=True, multiprocessors=4, **options) -> TritonBackend:
    return TritonBackend(
        shape,
        is_decode=is_decode,
        max_seq_len=5000,
        num_multiprocessors=multiprocessors,
        **options,
    )


def attend(backend: TritonBackend, step: Step, *, is_padded: bool = False) -> torch.Tensor:
    """What a backend makes of a step, with arrays as a graph's where ``is_padded``."""
    planned = backend.plan(step.runs)
    if is_padded:
        capacities = backend.capacities(len(step.runs.rows_R))
        planned = {
            name: np.pad(array, (0, capacities[name] - len(array)))
            for name, array in planned.items()
        }
    staged = {name: torch.from_numpy(array).to(DEVICE) for name, array in planned.items()}
    bound = backend.bind(staged, torch.from_numpy(step.runs.page_table_WP).to(DEVICE))
    out_TND = torch.full_like(step.q_TND, torch.nan, device=DEVICE)
    bound.prepare()
    layer = KVLayer(step.kv_layer.k_SKD.to(DEVICE), step.kv_layer.v_SKD.to(DEVICE))
    bound.attend(step.q_TND.to(DEVICE), layer, out_TND, scale=0.3, softcap=None)
    return out_TND.cpu()


def expected(step: Step, window: int | None = None) -> torch.Tensor:
    runs = step.runs
    metadata = AttentionMetadata(
        page_table_RP=torch.from_numpy(runs.page_table_WP[runs.rows_R]),
        out_slots_T=torch.zeros(len(step.q_TND), dtype=torch.int64),
        run_offsets=runs.offsets.tolist(),
        seq_lens=runs.seq_lens_R.tolist(),
        seq_lens_R=torch.from_numpy(runs.seq_lens_R),
        page_size=PAGE,
        window=window,
    )
    return reference.paged_attention(step.q_TND, step.kv_layer, metadata, scale=0.3)


@settings(max_examples=15)
@given(
    st.lists(st.integers(1, 700), min_size=1, max_size=6),
    st.sampled_from([None, 1, 100]),
    st.booleans(),
    st.sampled_from([1, 40]),
)
def test_single_tokens_are_the_reference_s(lengths, window, is_deterministic, multiprocessors):
    step = make_step([(1, length) for length in lengths])
    shape = replace(SHAPE, window=window)
    backend = make_backend(
        shape, is_deterministic=is_deterministic, multiprocessors=multiprocessors
    )
    assert_close(attend(backend, step, is_padded=True), expected(step, window))


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 300)), min_size=1, max_size=3),
    st.sampled_from([None, 1, 100]),
)
def test_chunks_are_the_reference_s(runs, window):
    step = make_step([(new, new + before) for new, before in runs])
    backend = make_backend(replace(SHAPE, window=window), is_decode=False)
    assert_close(attend(backend, step), expected(step, window))


def shared_paths() -> tuple[list[tuple[int, int]], list[list[int]]]:
    """Five rows: all share 40 pages, three of them 36 more, the last is alone."""
    root, branch = list(range(1, 41)), list(range(50, 86))
    paths = [
        [*root, *branch, 90],
        [*root, *branch, 91, 92],
        [*root, 93],
        [*root, *branch, 94],
        [95, 96],
    ]
    lengths = [76 * PAGE + 1, 77 * PAGE + 9, 40 * PAGE + 16, 76 * PAGE + 5, 20]
    return [(1, length) for length in lengths], paths


@pytest.mark.parametrize("window", [None, 700, 3000])
def test_rows_that_share_pages_are_the_reference_s(window):
    step = make_step(*shared_paths())
    backend = make_backend(replace(SHAPE, window=window))
    is_grouped = backend.plan(step.runs)["items"].reshape(-1, ITEM_WORDS)[:, 1].max() > 1
    assert is_grouped == (window != 700)
    assert_close(attend(backend, step, is_padded=True), expected(step, window))


def test_shared_pages_are_looked_for_when_rows_or_pages_change(monkeypatch):
    calls = []
    find = triton_backend.find_groups
    monkeypatch.setattr(
        triton_backend,
        "find_groups",
        lambda *args, **named: calls.append(1) or find(*args, **named),
    )
    runs = make_step(*shared_paths()).runs
    backend = make_backend()
    for version, rows, count in ((1, runs.rows_R, 1), (1, runs.rows_R, 1), (2, runs.rows_R, 2)):
        backend.plan(HostRuns(rows, runs.offsets, runs.seq_lens_R, runs.page_table_WP, version))
        assert len(calls) == count
    backend.plan(HostRuns(runs.rows_R[::-1].copy(), runs.offsets, runs.seq_lens_R[::-1].copy(),
                          runs.page_table_WP, 2))  # fmt: skip
    assert len(calls) == 3


def test_sharing_that_does_not_fit_a_graph_s_arrays_is_left_out():
    """Rows that share in a long chain: each level has all of the rows but one."""
    count, step_pages = 14, 40
    paths = [
        [*range(1, 1 + row * step_pages), *range(10_000 + 1000 * row, 10_000 + 1000 * row + 33)]
        for row in range(1, count + 1)
    ]
    step = make_step([(1, len(path) * PAGE) for path in paths], paths)
    backend = make_backend(SHAPE, multiprocessors=1)
    planned = backend.plan(step.runs)
    assert planned["items"].reshape(-1, ITEM_WORDS)[:, 1].max() == 1
    for name, most in backend.capacities(count).items():
        assert len(planned[name]) <= most


@pytest.mark.parametrize("is_deterministic", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_arrays_fit_the_capacities(seed, is_deterministic):
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 300))
    lengths = random.integers(1, 5000, count).astype(np.int32)
    table = random.integers(1, 4, (count, 320)).cumsum(axis=1).astype(np.int32)
    rows = np.arange(count, dtype=np.int32)
    backend = make_backend(is_deterministic=is_deterministic, multiprocessors=int(seed) * 20 + 1)
    offsets = np.arange(count + 1, dtype=np.int32)
    planned = backend.plan(HostRuns(rows, offsets, lengths, table, 1))
    for name, most in backend.capacities(count).items():
        assert len(planned[name]) <= most


def test_a_deterministic_row_does_not_depend_on_the_others():
    rows = [(1, 1500), (1, 3), (1, 1025), (1, 2048)]
    step = make_step(rows)
    backend = make_backend(is_deterministic=True)
    together = attend(backend, step, is_padded=True)
    runs = step.runs
    for row in range(len(rows)):
        one = HostRuns(
            runs.rows_R[row : row + 1],
            np.array([0, 1], dtype=np.int32),
            runs.seq_lens_R[row : row + 1],
            runs.page_table_WP,
            1,
        )
        alone = attend(backend, Step(one, step.q_TND[row : row + 1], step.kv_layer))
        assert torch.equal(alone[0], together[row])


def test_memory_of_parts_is_shared_by_what_is_bound():
    backend = make_backend()
    table = torch.zeros(3, 4, dtype=torch.int32)
    bound = [
        backend.bind(
            {name: torch.zeros(words, dtype=torch.int32)
             for name, words in backend.capacities(runs).items()},
            table,
        ).work.partials_SNX
        for runs in (8, 2)
    ]  # fmt: skip
    assert bound[0].data_ptr() == bound[1].data_ptr()


def test_the_decode_backend_refuses_longer_runs():
    with pytest.raises(AssertionError, match="longer than one token"):
        make_backend().plan(make_step([(2, 9)]).runs)
