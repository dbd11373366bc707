"""The next token of each row, by the kernels, against sglite/sampling, for each instruction set."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sglite.kernels.cpu import instruction_sets
from sglite.kernels.draw.noise import exponential_noise, row_keys
from sglite.request import SamplingParams
from sglite.sampling import TokenMasks
from tests.kernels.cpu.kernels import NUM_THREADS, extension
from tests.kernels.draw.rows import LOGITS, SAMPLINGS, SETTINGS, Rows, random
from tests.sampling.setups import exact_distribution, p_value, packed

_cpu = extension()

TARGETS = instruction_sets()
SIZES = [1, 7, 16, 127, 128, 129, 1000]
LARGE = 151_936


class Drawn(Rows):
    """Rows, and what the kernels draw from them."""

    def by_kernels(self, target: str, num_threads: int = NUM_THREADS) -> list[int]:
        return next_tokens(target, self.logits, *self.parameters(), num_threads=num_threads)

    def with_masks(self, target: str, masks: TokenMasks, num_threads: int = NUM_THREADS):
        """The tokens where a step draws the rows without a mask, and a second call the others."""
        step = Recorded(target, self.logits, num_threads)
        floats, integers = self.parameters()
        free = [row for row in range(len(self.logits)) if row not in masks.entries]
        for rows, words in ((free, None), (masks.entries, masks.words_MW)):
            chosen = (floats.take(rows, axis=1), integers.take(rows, axis=1))
            samples = np.array(rows, dtype=np.int32)
            if words is None:
                step.replay(*chosen, samples)
            else:
                step.program.draw(samples, *chosen, words)
        return step.ids.tolist()

    def parameters(self) -> tuple[np.ndarray, np.ndarray]:
        """What the kernels read: float32 and int64, three of each per row."""
        size = self.logits.shape[1]
        floats = [[0.0 if s.is_greedy else s.temperature for s in self.settings]]
        floats += [[max(s.top_p, 1e-30) for s in self.settings], [s.min_p for s in self.settings]]
        top_k = [size if s.top_k == -1 else min(s.top_k, size) for s in self.settings]
        integers = [self.seeds, top_k, self.positions]
        return np.array(floats, dtype=np.float32), np.array(integers, dtype=np.int64)


class Recorded:
    """A program that samples each row of the logits; ``ids`` are the tokens, -7 before a draw."""

    def __init__(self, target: str, logits: torch.Tensor, num_threads: int = NUM_THREADS) -> None:
        self.program = _cpu.Program(target, num_threads, [], [], False)
        self.ids = torch.full((len(logits),), -7)
        self.program.sample(logits, self.ids, logits.shape[1])

    def replay(self, floats=None, integers=None, samples=None) -> None:
        """One step over all rows, of which ``samples`` draw."""
        count = len(self.ids)
        whole = torch.tensor([0, count], dtype=torch.int32)
        tokens, rows = torch.zeros(count, dtype=torch.int64), torch.zeros(count, dtype=torch.int32)
        all_rows = torch.arange(count, dtype=torch.int32)
        step = (tokens, torch.zeros(1, 2), rows, whole, whole[1:], [], [], all_rows)
        self.program.replay(*step, floats, integers, samples)


def next_tokens(target, logits, floats=None, integers=None, *, num_threads=NUM_THREADS):
    """The result of the operation over all rows."""
    step = Recorded(target, logits, num_threads)
    step.replay(floats, integers)
    return step.ids.tolist()


@pytest.mark.parametrize("kind", LOGITS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("target", TARGETS)
def test_tokens_are_those_of_the_sampler(target, size, kind):
    drawn = Drawn.mixed(LOGITS[kind](random(4 * len(SAMPLINGS), size)))
    drawn.check(drawn.by_kernels(target))


@pytest.mark.parametrize("kind", ["spread", "narrow", "with ties", "equal"])
@pytest.mark.parametrize("target", TARGETS)
def test_tokens_of_a_large_vocabulary_are_those_of_the_sampler(target, kind):
    drawn = Drawn.mixed(LOGITS[kind](random(len(SAMPLINGS), LARGE)))
    drawn.check(drawn.by_kernels(target))


@pytest.mark.parametrize("target", TARGETS)
def test_random_numbers_are_those_of_the_sampler(target):
    seeds, positions = [0, 1, -1, 2**63 - 1, -(2**63), 977], [0, 1, 2**31, 5, 2**40, 3]
    logits = torch.zeros(6, LARGE)
    noise = exponential_noise(
        row_keys(torch.tensor(seeds), torch.tensor(positions)),
        torch.arange(LARGE, dtype=torch.int32),
    )
    drawn = Drawn(logits, [SamplingParams()] * 6, positions, seeds)
    assert drawn.by_kernels(target) == noise.argmin(-1).tolist()


@pytest.mark.parametrize("num_rows", range(1, 66))
def test_a_row_draws_the_same_whatever_its_batch(num_rows):
    drawn = Drawn.mixed((3 * random(65, 300)).round(decimals=1))
    together = drawn.of(list(range(num_rows)))
    assert together.by_kernels(TARGETS[0]) == drawn.by_kernels(TARGETS[0], 1)[:num_rows]


# --------------------------------------------------------------------------------------- masks


def some_legal(count: int, size: int, share: float) -> torch.Tensor:
    """Bool ``[count, size]``: about that share is True, at least one token of each row."""
    generator = torch.Generator().manual_seed(size)
    legal = torch.rand(count, size, generator=generator) < share
    legal[range(count), [(7 * row) % size for row in range(count)]] = True
    return legal


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("size", [*SIZES, 33, 4096])
@pytest.mark.parametrize("target", TARGETS)
def test_masked_tokens_are_those_of_the_sampler(target, size, share):
    drawn = Drawn.mixed(3 * random(2 * len(SAMPLINGS), size))
    legal = some_legal(len(drawn.logits), size, share)
    drawn.check(drawn.with_masks(target, packed(legal)), legal)


@pytest.mark.parametrize("kind", LOGITS)
@pytest.mark.parametrize("target", TARGETS)
def test_masks_hold_whatever_the_logits(target, kind):
    drawn = Drawn.mixed(LOGITS[kind](random(len(SAMPLINGS), 1000)))
    legal = some_legal(len(drawn.logits), 1000, 0.3)
    drawn.check(drawn.with_masks(target, packed(legal)), legal)


@pytest.mark.parametrize("share", [0.0001, 0.5])
@pytest.mark.parametrize("target", TARGETS)
def test_masked_tokens_of_a_large_vocabulary_are_those_of_the_sampler(target, share):
    drawn = Drawn.mixed(5 * random(len(SAMPLINGS), LARGE - 5))
    legal = some_legal(len(drawn.logits), LARGE - 5, share)
    drawn.check(drawn.with_masks(target, packed(legal)), legal)


@pytest.mark.parametrize("target", TARGETS)
def test_a_masked_draw_is_the_free_draw_from_logits_that_hide_the_others(target):
    drawn = Drawn.mixed(3 * random(3 * len(SAMPLINGS), 1000))
    legal = some_legal(len(drawn.logits), 1000, 0.1)
    expected = drawn.hiding(legal).by_kernels(target)
    assert drawn.with_masks(target, packed(legal)) == expected
    assert drawn.with_masks(target, packed(legal), num_threads=1) == expected


@pytest.mark.parametrize("target", TARGETS)
def test_masked_rows_draw_among_free_ones(target):
    drawn = Drawn.mixed(3 * random(2 * len(SAMPLINGS), 300))
    masked = list(range(1, len(drawn.logits), 3))
    legal = some_legal(len(masked), 300, 0.1)
    everything = torch.ones(drawn.logits.shape, dtype=torch.bool)
    everything[masked] = legal
    expected = drawn.hiding(everything).by_kernels(target)
    assert drawn.with_masks(target, packed(legal, masked)) == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("size", [1, 37, 515])
@pytest.mark.parametrize("target", TARGETS)
def test_masked_rows_without_a_token_are_told(target, size, bad):
    drawn = Drawn.mixed(random(2 * len(SAMPLINGS), size))
    legal = some_legal(len(drawn.logits), size, 0.5)
    for row in range(0, len(legal), 4):
        drawn.logits[row, row % size] = bad  # also where it is not legal
        legal[row + 1] = False
    drawn.logits[2, legal[2]] = -math.inf
    found = drawn.with_masks(target, packed(legal))
    assert found == drawn.by_sampler(packed(legal))
    assert [row for row, token in enumerate(found) if token == -1][:4] == [0, 1, 2, 4]


def test_samples_that_do_not_draw_keep_their_token():
    logits = random(4, 40)
    step = Recorded(TARGETS[0], logits)
    step.replay(samples=np.array([0, 3], dtype=np.int32))
    likeliest = logits.argmax(-1).tolist()
    assert step.ids.tolist() == [likeliest[0], -7, -7, likeliest[3]]
    step.program.draw(np.array([1], dtype=np.int32))
    step.program.draw(np.array([], dtype=np.int32))
    assert step.ids.tolist() == [*likeliest[:2], -7, likeliest[3]]


BAD_CALLS = {
    "a mask has a bit": ([0, 1], np.zeros((2, 1), dtype=np.int32)),
    "no such sample": ([0, 2], None),
    "no such": ([-1, 0], None),
    "ascend": ([1, 1], None),
}


@pytest.mark.parametrize("what", BAD_CALLS)
def test_bad_masks_and_samples_are_refused(what):
    samples, words = BAD_CALLS[what]
    step = Recorded(TARGETS[0], torch.zeros(2, 33))
    with pytest.raises(ValueError, match=what):
        step.program.draw(np.array(samples, dtype=np.int32), None, None, words)
    if words is None:
        with pytest.raises(ValueError, match=what):
            step.replay(samples=np.array(samples, dtype=np.int32))


def test_more_ids_than_rows_of_logits_are_refused():
    recorded = _cpu.Program(TARGETS[0], 1, [], [], False)
    with pytest.raises(ValueError, match="x must have a row per id"):
        recorded.sample(torch.zeros(2, 8), torch.zeros(3, dtype=torch.int64), 8)


# ---------------------------------------------------------------------------- what is kept

TIED = [1.0, 2.0, 2.0, 1.5, 2.0, 1.5, 0.5, 1.5, 0.5, 0.0]  # ranked 1 2 4, 3 5 7, 0, 6 8, 9


def tokens_drawn(target: str, row: torch.Tensor, **kwargs: float) -> set[int]:
    return set(Drawn.repeated(row, SamplingParams(**kwargs), 1500).by_kernels(target))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("top_k", range(1, 11))
def test_top_k_keeps_the_lower_ids_of_equal_tokens(target, top_k):
    ranked = [1, 2, 4, 3, 5, 7, 0, 6, 8, 9]
    assert tokens_drawn(target, torch.tensor([TIED]), top_k=top_k) == set(ranked[:top_k])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("top_p", "count"), [(1e-6, 1), (0.25, 2), (0.26, 3), (0.5, 4), (1.0, 8)])
def test_top_p_keeps_the_token_that_crosses_it(target, top_p, count):
    assert tokens_drawn(target, torch.zeros(1, 8), top_p=top_p) == set(range(count))


@pytest.mark.parametrize("target", TARGETS)
def test_top_p_counts_what_top_k_takes(target):
    assert tokens_drawn(target, torch.zeros(1, 8), top_p=0.5, top_k=6) == set(range(4))


@pytest.mark.parametrize("target", TARGETS)
def test_min_p_keeps_equals_of_the_largest(target):
    assert tokens_drawn(target, torch.tensor([TIED]), min_p=1.0) == {1, 2, 4}
    assert tokens_drawn(target, torch.tensor([TIED]), min_p=0.6) == {1, 2, 3, 4, 5, 7}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("top_k", [3, 9, 700])
def test_equal_tokens_across_blocks_are_kept_by_id(target, top_k):
    row = torch.zeros(1, 1000)
    row[0, 500:] = -math.inf
    drawn = Drawn.repeated(row, SamplingParams(top_k=top_k), 300).by_kernels(target)
    assert max(drawn) < min(top_k, 500)
    assert len(set(drawn)) > min(top_k, 100) // 2


# ------------------------------------------------------------------------------ distributions

TWELVE = [0.3, 1.5, -0.5, 2.0, 1.0, -2.5, 1.4, 0.0, -1.0, 0.5, -1.5, -0.2]


@pytest.mark.parametrize("kwargs", SETTINGS, ids=str)
def test_draws_follow_the_exact_distribution(kwargs):
    kwargs = kwargs | {"temperature": max(kwargs.get("temperature", 1.0), 1e-4)}
    drawn = Drawn.repeated(torch.tensor([TWELVE]), SamplingParams(**kwargs), 10_000, seed=-(2**62))
    expected = exact_distribution(TWELVE, **(kwargs | {"top_p": kwargs.get("top_p", 1.0) or 1e-30}))
    assert p_value(drawn.by_kernels(TARGETS[0]), expected) > 1e-4


def test_chi_square_notices_a_wrong_distribution():
    drawn = Drawn.repeated(torch.tensor([TWELVE]), SamplingParams(top_p=0.75), 10_000)
    tokens = drawn.by_kernels(TARGETS[0])
    assert p_value(tokens, exact_distribution(TWELVE, top_p=0.6)) < 1e-9
    assert p_value(tokens, exact_distribution(TWELVE, top_p=0.75, temperature=0.6)) < 1e-9


# ------------------------------------------------------------------------------------ borders


@pytest.mark.parametrize("size", [1, 16, 37, 515])
@pytest.mark.parametrize("target", TARGETS)
def test_without_draws_the_first_of_the_largest_is_next(target, size):
    x = random(8, size)
    x[1] = 0.5  # all equal
    x[2, size // 2] = x[2, -1] = 9.0
    x[3, size // 2] = torch.nan
    x[4, -1] = torch.inf
    x[5] = -torch.inf
    x[6, : size // 2] = -torch.inf
    expected = x.argmax(-1)
    expected[[3, 4, 5]] = -1
    assert next_tokens(target, x) == expected.tolist()


@pytest.mark.parametrize("size", [1, 16, 37, 515])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("target", TARGETS)
def test_a_row_that_is_no_number_has_no_token(target, bad, size):
    drawn = Drawn.mixed(random(2 * len(SAMPLINGS), size))
    sound = drawn.by_kernels(target)
    for row in range(0, len(sound), 2):
        drawn.logits[row, row % size] = bad
        sound[row] = -1
    assert drawn.by_kernels(target) == sound == drawn.by_sampler()
    drawn.logits[1] = -math.inf
    assert drawn.by_kernels(target)[1] == drawn.by_sampler()[1] == -1


def test_logits_are_left_as_they_were():
    drawn = Drawn.mixed(random(len(SAMPLINGS), 300))
    before = drawn.logits.clone()
    drawn.by_kernels(TARGETS[0])
    assert torch.equal(drawn.logits, before)


BAD_DRAWS = {
    "temperature": ([[-1.0], [1.0], [0.0]], [[0], [5], [0]]),
    "top_k": ([[1.0], [1.0], [0.0]], [[0], [0], [0]]),
    "three floats": ([[1.0], [1.0]], [[0], [5], [0]]),
    "three integers": ([[1.0], [1.0], [0.0]], [[0], [5]]),
    "both": ([[1.0], [1.0], [0.0]], None),
}


@pytest.mark.parametrize("what", BAD_DRAWS)
def test_bad_draws_are_refused(what):
    floats, integers = BAD_DRAWS[what]
    array = None if integers is None else np.array(integers, dtype=np.int64)
    with pytest.raises(ValueError, match=what):
        next_tokens(TARGETS[0], torch.zeros(1, 8), np.array(floats, dtype=np.float32), array)


def test_a_vocabulary_of_nothing_is_refused():
    recorded = _cpu.Program(TARGETS[0], 1, [], [], False)
    with pytest.raises(ValueError, match="size must be positive"):
        recorded.sample(torch.zeros(1, 0), torch.zeros(1, dtype=torch.int64), 0)
