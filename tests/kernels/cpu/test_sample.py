"""The next token of each row, by the kernels, against sglite/sampling, for each instruction set."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sglite.kernels.cpu import instruction_sets
from sglite.kernels.draw.noise import exponential_noise, row_keys
from sglite.request import SamplingParams
from tests.kernels.cpu.kernels import NUM_THREADS, extension
from tests.kernels.draw.rows import LOGITS, SAMPLINGS, SETTINGS, Rows, random
from tests.sampling.setups import exact_distribution, p_value

_cpu = extension()

TARGETS = instruction_sets()
SIZES = [1, 7, 16, 127, 128, 129, 1000]
LARGE = 151_936


class Drawn(Rows):
    """Rows, and what the kernels draw from them."""

    def by_kernels(self, target: str, num_threads: int = NUM_THREADS) -> list[int]:
        size = self.logits.shape[1]
        floats = [[0.0 if s.is_greedy else s.temperature for s in self.settings]]
        floats += [[max(s.top_p, 1e-30) for s in self.settings], [s.min_p for s in self.settings]]
        top_k = [size if s.top_k == -1 else min(s.top_k, size) for s in self.settings]
        integers = [self.seeds, top_k, self.positions]
        return next_tokens(
            target,
            self.logits,
            np.array(floats, dtype=np.float32),
            np.array(integers, dtype=np.int64),
            num_threads=num_threads,
        )


def next_tokens(target, logits, floats=None, integers=None, *, num_threads=NUM_THREADS):
    """The result of the operation over all rows."""
    count = len(logits)
    recorded = _cpu.Program(target, num_threads, [], [], False)
    ids = torch.full((count,), -7)
    recorded.sample(logits, ids, logits.shape[1])
    whole = torch.tensor([0, count], dtype=torch.int32)
    tokens, rows = torch.zeros(count, dtype=torch.int64), torch.zeros(count, dtype=torch.int32)
    samples = torch.arange(count, dtype=torch.int32)
    recorded.replay(
        tokens, torch.zeros(1, 2), rows, whole, whole[1:], [], [], samples, floats, integers
    )
    return ids.tolist()


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
