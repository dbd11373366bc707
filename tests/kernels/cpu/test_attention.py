"""Attention of the compiled kernels against the reference, on nasty shapes, for each target."""

from __future__ import annotations

import random

import pytest
import torch

from sglite.engine.forward_batch import AttentionMetadata
from sglite.kernels.cpu import instruction_sets
from sglite.kernels.paged_attention import reference
from sglite.kvcache.kv_pool import KVLayer
from tests.kernels.cpu.kernels import PagedAttention, extension

extension()

TARGETS = instruction_sets()
SCALE = 0.3
# Float32 differs from the reference in the order of sums and in the exponential's last bits; with
# bfloat16 pools the keys and values themselves are rounded for both, but the kernels that multiply
# bfloat16 round the queries and the weights as well.
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2e-2}

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
        shape = (1000 * size, num_kv_heads, head_dim)
        nothing = torch.full(shape, torch.nan)
        self.kv_layer = KVLayer(nothing, nothing.clone())
        for (_, length), table in zip(runs, self.tables, strict=True):
            slots = [table[p // size] * size + p % size for p in range(length)]
            new = [slot for slot in slots if self.kv_layer.k_SKD[slot].isnan().any()]
            dtype = kernel.pool.storage[0].dtype
            values = torch.randn(2, len(new), num_kv_heads, head_dim, generator=generator)
            for tensor, part in zip(self.kv_layer, values.to(dtype).float(), strict=True):
                tensor[new] = part
            kernel.store(*(tensor[new] for tensor in self.kv_layer), new)
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

    def check(self) -> int:
        """Compare with the reference; how many parts there were beyond one per query."""
        metadata = self.metadata()
        expected = reference.paged_attention(self.q_TND, self.kv_layer, metadata, scale=SCALE)
        attended = self.kernel.attend(self.q_TND, metadata, SCALE)
        tolerance = TOLERANCE[self.kernel.pool.storage[0].dtype]
        torch.testing.assert_close(attended.out_TND.float(), expected, atol=tolerance, rtol=0)
        return attended.num_grouped


def kernel_for(target: str, **changes: object) -> PagedAttention:
    options = {"num_heads": 4, "num_kv_heads": 2, "head_dim": 32, "dtype": torch.float32}
    options |= {"num_pages": 1000, "page_size": 16}
    return PagedAttention(target, **(options | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("target", TARGETS)
def test_it_is_the_references(target, case, dtype):
    runs = CASES[case]
    kernel = kernel_for(target, dtype=dtype, page_size=32 if runs[0][1] % 2 else 16)
    Sequences(kernel, runs, {}).check()


@pytest.mark.parametrize("window", [1, 7, 16, 100])
@pytest.mark.parametrize("target", TARGETS)
def test_windows_hide_what_is_older(target, window):
    kernel = kernel_for(target, window=window)
    Sequences(kernel, [(1, 50), (1, 3), (20, 41), (30, 30), (1, 700)], {}).check()


@pytest.mark.parametrize("shape", [(1, 1, 16), (8, 1, 48), (6, 3, 64), (48, 1, 16), (2, 2, 256)])
@pytest.mark.parametrize("target", TARGETS)
def test_head_counts_and_sizes(target, shape):
    num_heads, num_kv_heads, head_dim = shape
    kernel = kernel_for(target, num_heads=num_heads, num_kv_heads=num_kv_heads, head_dim=head_dim)
    Sequences(kernel, [(1, 40), (9, 20), (1, 16)], {}).check()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("target", TARGETS)
def test_sequences_that_share_pages_read_them_together(target, dtype):
    runs = [(1, 150), (1, 171), (5, 135), (1, 300), (1, 290), (1, 20)]
    shared = {1: 8, 2: 8, 3: 4, 4: 17}  # a tree of two levels below 4 pages, and a stranger
    kernel = kernel_for(target, dtype=dtype)
    # Ways of 128, then 64 and 208 tokens: every query of the five has two or three parts.
    assert Sequences(kernel, runs, shared).check() >= 9


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
