"""Attention of the compiled kernels against the reference, on nasty shapes, for each target."""

from __future__ import annotations

import random

import pytest
import torch

from sglite.executors.forward_batch import AttentionMetadata
from sglite.kernels.cpu import instruction_sets
from sglite.kernels.kv_store import store_kv
from sglite.kernels.paged_attention import reference
from sglite.kvcache.kv_pool import KVPool, kv_dtype_name
from tests.kernels.cpu.kernels import PagedAttention, extension
from tests.model_harness import poison

extension()

TARGETS = instruction_sets()
SCALE = 0.3
# Float32 differs from the reference in the order of sums and in the exponential's last bits; with
# bfloat16 pools the keys and values themselves are rounded for both, but the kernels that multiply
# bfloat16 round the queries and the weights as well.
TOLERANCE = {
    torch.float32: 2e-5,
    torch.bfloat16: 2e-2,
    torch.int8: 2e-5,
    torch.float8_e4m3fn: 2e-5,
}
DTYPES = [pytest.param(dtype, id=kv_dtype_name(dtype)) for dtype in TOLERANCE]
BYTES = [pytest.param(dtype, id=kv_dtype_name(dtype)) for dtype in list(TOLERANCE)[2:]]

CASES = {
    "one token alone": [(1, 1)],
    "decode at block edges": [(1, 15), (1, 16), (1, 17), (1, 32), (1, 33)],
    "decode, lengths far apart": [(1, 1), (1, 600), (1, 63), (1, 65), (1, 130)],
    "prompt, odd": [(63, 63)],
    "chunk after a prefix": [(13, 50), (2, 9)],
    "chunk of several tiles": [(150, 300)],
    "one long sequence": [(1, 5000)],
    "everything": [(1, 21), (7, 7), (1, 1), (5, 33), (1, 130), (2, 2)],
}


def token_pool(kernel: PagedAttention) -> KVPool:
    """A pool like the kernel's, in the layout of torch."""
    pool = KVPool(
        kernel.pool.groups,
        kernel.pool.num_pages,
        page_size=kernel.page_size,
        num_kv_heads=kernel.shape[1],
        head_dim=kernel.shape[2],
        dtype=kernel.pool.dtype,
    )
    poison(pool)
    return pool


class Sequences:
    """Keys and values of sequences in both layouts; sequences may share their first pages."""

    def __init__(
        self, kernel: PagedAttention, runs: list[tuple[int, int]], shared: dict[int, int]
    ) -> None:
        """``shared[i]`` pages of run i are those of the run before."""
        self.kernel, self.runs = kernel, runs
        size = kernel.page_size
        pages = iter(random.Random(1).sample(range(1, 1000), 900))
        self.tables: list[list[int]] = []
        for run, (_, length) in enumerate(runs):
            same = self.tables[-1][: shared[run]] if run in shared else []
            fresh = -(-length // size) - len(same)
            self.tables.append(same + [next(pages) for _ in range(fresh)])
        num_heads, num_kv_heads, head_dim = kernel.shape
        generator = torch.Generator().manual_seed(2)
        self.kv_layer = token_pool(kernel).layer(0)
        stored: set[int] = set()
        for (_, length), table in zip(runs, self.tables, strict=True):
            slots = [table[p // size] * size + p % size for p in range(length)]
            new = [slot for slot in slots if slot not in stored]
            stored.update(new)
            k_SKD, v_SKD = torch.randn(2, len(new), num_kv_heads, head_dim, generator=generator)
            store_kv(k_SKD, v_SKD, self.kv_layer, torch.tensor(new))
            kernel.store(k_SKD, v_SKD, new)
        num_tokens = sum(new for new, _ in runs)
        self.q_TND = torch.randn(num_tokens, num_heads, head_dim, generator=generator)

    def metadata(self) -> AttentionMetadata:
        size, window = self.kernel.page_size, self.kernel.window
        width = max(map(len, self.tables)) + 1
        table = torch.zeros(len(self.runs), width, dtype=torch.int32)
        offsets, slots = [0], []
        for row, ((new, length), pages) in enumerate(zip(self.runs, self.tables, strict=True)):
            first = 0 if window is None else max(0, length - new - window + 1) // size
            table[row, first : len(pages)] = torch.tensor(pages[first:], dtype=torch.int32)
            offsets.append(offsets[-1] + new)
            slots += [pages[p // size] * size + p % size for p in range(length - new, length)]
        lengths = [length for _, length in self.runs]
        return AttentionMetadata(
            table, torch.tensor(slots), offsets, lengths, torch.tensor(lengths), size, window
        )

    def check(self, softcap: float | None = None) -> int:
        """Compare with the reference; how many parts there were beyond one per query."""
        metadata = self.metadata()
        expected = reference.paged_attention(
            self.q_TND, self.kv_layer, metadata, scale=SCALE, softcap=softcap
        )
        attended = self.kernel.attend(self.q_TND, metadata, SCALE, softcap)
        tolerance = TOLERANCE[self.kernel.pool.dtype]
        torch.testing.assert_close(attended.out_TND.float(), expected, atol=tolerance, rtol=0)
        return attended.num_grouped


def kernel_for(target: str, **changes: object) -> PagedAttention:
    options = {"num_heads": 4, "num_kv_heads": 2, "head_dim": 32, "dtype": torch.float32}
    options |= {"num_pages": 1000, "page_size": 16}
    return PagedAttention(target, **(options | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("target", TARGETS)
def test_it_is_the_references(target, case, dtype):
    runs = CASES[case]
    kernel = kernel_for(target, dtype=dtype, page_size=32 if runs[0][1] % 2 else 16)
    Sequences(kernel, runs, {}).check()


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8], ids=["float32", "int8"])
@pytest.mark.parametrize("window", [1, 7, 16, 100])
@pytest.mark.parametrize("target", TARGETS)
def test_windows_hide_what_is_older(target, window, dtype):
    kernel = kernel_for(target, window=window, dtype=dtype)
    Sequences(kernel, [(1, 50), (1, 3), (20, 41), (30, 30), (1, 700)], {}).check()


@pytest.mark.parametrize("shape", [(1, 1, 16), (8, 1, 48), (6, 3, 64), (48, 1, 16), (2, 2, 256)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("target", TARGETS)
def test_head_counts_and_sizes(target, shape, dtype):
    heads = dict(zip(("num_heads", "num_kv_heads", "head_dim"), shape, strict=True))
    kernel = kernel_for(target, dtype=dtype, **heads)
    Sequences(kernel, [(1, 40), (9, 20), (1, 16)], {}).check()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("target", TARGETS)
def test_sequences_that_share_pages_read_them_together(target, dtype):
    runs = [(1, 150), (1, 171), (5, 135), (1, 300), (1, 290), (1, 20)]
    shared = {1: 8, 2: 8, 3: 4, 4: 17}  # a tree of two levels below 4 pages, and a stranger
    kernel = kernel_for(target, dtype=dtype)
    # Ways of 128, then 64 and 208 tokens: every query of the five has two or three parts.
    assert Sequences(kernel, runs, shared).check() >= 9


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("softcap", [0.5, 50.0])
@pytest.mark.parametrize("target", TARGETS)
def test_scores_are_softly_capped_before_they_are_hidden(target, softcap, dtype):
    kernel = kernel_for(target, dtype=dtype)
    Sequences(kernel, [(1, 50), (1, 3), (20, 41), (30, 30), (1, 700)], {}).check(softcap)


def nasty_rows(head_dim: int) -> torch.Tensor:
    """``[S, K, D]``: rows of every size, ties of both roundings, zeros, and no numbers."""
    generator = torch.Generator().manual_seed(4)
    sizes = [10.0**power for power in (-38, -31, -29, -6, -3, -2, -1, 0, 1, 2, 3, 30)]
    rows = torch.randn(len(sizes), head_dim, generator=generator) * torch.tensor(sizes)[:, None]
    ties = torch.arange(head_dim) - head_dim / 2 + 0.5
    ties[0] = 127.0  # the scale is 1, the others lie between two codes
    every_fp8 = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    finite = every_fp8[every_fp8.isfinite()].sort().values
    halves = ((finite[1:] + finite[:-1]) / 2).split(head_dim)
    edges = torch.tensor([-0.0, 448.0, 463.9, 464.0, 480.0, -1e9, 2**-10, 2**-9 * 1.5])
    odd = [edges.repeat(head_dim)[:head_dim], torch.zeros(head_dim)]
    odd += [
        torch.full((head_dim,), 3.0).index_fill(0, torch.tensor([5]), bad)
        for bad in (torch.nan, torch.inf, -torch.inf)
    ]
    padded = [torch.nn.functional.pad(each, (0, head_dim - len(each))) for each in halves]
    values = torch.cat((rows, torch.stack([ties, *padded, *odd])))
    return torch.stack((values, values.flip(0)), dim=1)


@pytest.mark.parametrize("dtype", BYTES)
@pytest.mark.parametrize("target", TARGETS)
def test_the_bytes_in_the_pool_are_those_of_torch(target, dtype):
    kernel = kernel_for(target, dtype=dtype, head_dim=48)
    v_SKD = nasty_rows(48)
    k_SKD = v_SKD.nan_to_num(1.0, 1.0, 1.0).flip(0)  # the rotation would spread what is no number
    slots = random.Random(5).sample(range(16 * 1000), len(k_SKD))
    kernel.store(k_SKD, v_SKD, slots)
    layer = token_pool(kernel).layer(0)
    store_kv(k_SKD, v_SKD, layer, torch.tensor(slots))
    expected = [tensor[slots] for tensor in layer if tensor is not None]
    found = kernel.stored(slots)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        if theirs.dtype == torch.float8_e4m3fn:
            ours = ours.view(theirs.dtype).float()
            theirs = theirs.float()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("target", TARGETS)
def test_every_number_of_8_bits_is_read_as_torch_reads_it(target):
    kernel = kernel_for(
        target, dtype=torch.float8_e4m3fn, num_heads=1, num_kv_heads=1, head_dim=256
    )
    every = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    kernel.store(torch.zeros(1, 1, 256), every.view(1, 1, 256), [16])
    table = torch.tensor([[1]], dtype=torch.int32)
    lengths = torch.tensor([1])
    metadata = AttentionMetadata(table, torch.tensor([16]), [0, 1], [1], lengths, 16, None)
    found = kernel.attend(torch.zeros(1, 1, 256), metadata, SCALE).out_TND.flatten()
    # One key has all the weight: what is left of rounding is e to the 0 over itself.
    torch.testing.assert_close(found, every, rtol=1e-6, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", BYTES)
def test_pools_that_do_not_fit_the_recording_are_refused(dtype):
    kernel = kernel_for(TARGETS[0], dtype=dtype)
    k_BKX, v_BKX = kernel.pool.blocks(0)
    q = torch.zeros(1, 4, 32)
    program = kernel._program()
    for pools in ((k_BKX, v_BKX.float()), (k_BKX[..., 1:].contiguous(), v_BKX)):
        with pytest.raises(ValueError, match="blocks of the pool have another shape"):
            program.attend(q, q.clone(), *pools, *kernel.shape, 0)


@pytest.mark.parametrize("target", TARGETS)
def test_a_group_larger_than_a_tile(target):
    runs = [(1, 128 + 1 + i) for i in range(40)]
    kernel = kernel_for(target, num_heads=8)
    assert Sequences(kernel, runs, dict.fromkeys(range(1, 40), 8)).check() == 40


def test_a_short_common_start_is_not_worth_a_group():
    kernel = kernel_for(TARGETS[0])
    assert Sequences(kernel, [(1, 60), (1, 61)], {1: 3}).check() == 0


def test_grouping_can_be_turned_off():
    kernel = kernel_for(TARGETS[0], groups_prefixes=False)
    assert Sequences(kernel, [(1, 150), (1, 171), (1, 135)], {1: 8, 2: 8}).check() == 0


def test_one_long_sequence_is_split_for_the_threads():
    kernel = kernel_for(TARGETS[0])
    assert Sequences(kernel, [(1, 5000)], {}).check() > 0


def test_without_groups_a_long_sequence_is_not_split_either():
    kernel = kernel_for(TARGETS[0], groups_prefixes=False)
    assert Sequences(kernel, [(1, 5000)], {}).check() == 0
