"""The next token of each row, by the kernels, against sglite/sampling, for each instruction set."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from sglite.kernels.cpu import instruction_sets
from sglite.kernels.draw.noise import exponential_noise, row_keys
from sglite.request import SamplingParams
from tests.kernels.cpu.kernels import NUM_THREADS, extension
from tests.sampling.setups import exact_distribution, p_value, row_setup, sampler_with

_cpu = extension()

TARGETS = instruction_sets()
SIZES = [1, 7, 16, 127, 128, 129, 1000]
LARGE = 151_936
SLACK = 1e-5  # of weights and scores: what the last bits of an exponential or a sum may decide


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@dataclass
class Drawn:
    """Rows of logits with their parameters; row ``i`` draws with seed ``seeds[i]``."""

    logits: torch.Tensor
    settings: list[SamplingParams]
    positions: list[int]
    seeds: list[int]

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

    def by_torch(self) -> list[int]:
        """The sampler's tokens; -1 where it calls a row invalid."""
        rows = list(range(len(self.logits)))
        pairs = zip(self.settings, self.seeds, strict=True)
        setups = [row_setup(i, sampling, seed=seed) for i, (sampling, seed) in enumerate(pairs)]
        sampler = sampler_with(self.logits.shape[1], *setups, max_rows=len(rows))
        positions = torch.tensor(self.positions)
        result = sampler.sample(self.logits.clone(), rows, positions).to_result()
        return [-1 if i in result.invalid else t for i, t in enumerate(result.token_ids)]

    def is_near_tie(self, row: int, token: int) -> bool:
        """True where a change in the last bits of float32 could make ``token`` the draw."""
        sampling, logits = self.settings[row], self.logits[row].double()
        keys = row_keys(torch.tensor([self.seeds[row]]), torch.tensor([self.positions[row]]))
        noise = exponential_noise(keys, torch.arange(len(logits), dtype=torch.int32))[0].double()
        weights = ((logits - logits.max()) / sampling.temperature).exp()

        def kept(slack: float) -> torch.Tensor:
            """Tokens that stay where others' weights are less by so much."""
            order = torch.argsort(weights, descending=True, stable=True)
            mass, rank = torch.zeros_like(weights), torch.zeros_like(weights)
            mass[order] = weights[order].cumsum(0) - weights[order]
            rank[order] = torch.searchsorted(
                -weights[order], -weights[order] * (1 + slack), right=slack < 0
            ).double()
            top_k = len(weights) if sampling.top_k == -1 else sampling.top_k
            in_top_p = mass < (sampling.top_p + slack) * weights.sum()
            return (rank < top_k) & in_top_p & (weights >= sampling.min_p * (1 - slack))

        scores = weights / noise
        surely = kept(-SLACK)
        best = scores[surely].max() if surely.any() else torch.tensor(0.0)
        return bool(kept(SLACK)[token] and scores[token] >= best * (1 - SLACK))

    def check(self, target: str) -> None:
        ours, theirs = self.by_kernels(target), self.by_torch()
        for row, (found, expected) in enumerate(zip(ours, theirs, strict=True)):
            assert found == expected or self.is_near_tie(row, found), (row, found, expected)


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


def repeated(row: torch.Tensor, sampling: SamplingParams, count: int, seed: int = 5) -> Drawn:
    """One row at as many positions."""
    positions = list(range(count))
    return Drawn(row.expand(count, -1).contiguous(), [sampling] * count, positions, [seed] * count)


SETTINGS = [
    {},
    {"temperature": 1e-5},
    {"temperature": 0.3},
    {"temperature": 1e30},
    {"top_k": 1},
    {"top_k": 2},
    {"top_k": 40, "temperature": 1.5},
    {"top_k": 10**6},
    {"top_p": 0.0},
    {"top_p": 1e-9},
    {"top_p": 0.4},
    {"top_p": 0.97},
    {"min_p": 0.02},
    {"min_p": 1.0},
    {"top_k": 50, "top_p": 0.95, "temperature": 0.8},
    {"top_k": 9, "top_p": 0.8, "min_p": 0.05, "temperature": 2.0},
    {"temperature": 0.0},
]
SAMPLINGS = [SamplingParams(**kwargs) for kwargs in SETTINGS]


def mixed(logits: torch.Tensor) -> Drawn:
    """Rows that each draw in another way."""
    count = len(logits)
    return Drawn(
        logits,
        [SAMPLINGS[i % len(SAMPLINGS)] for i in range(count)],
        [3 * i for i in range(count)],
        [(-1) ** i * (2**62 // (i + 1)) for i in range(count)],
    )


LOGITS = {
    "spread": lambda x: 5 * x,
    "narrow": lambda x: 0.1 * x,
    "with ties": lambda x: (2 * x).round(),
    "equal": lambda x: torch.full_like(x, 0.7),
    "half are impossible": lambda x: x.masked_fill(random(*x.shape) > 0, -math.inf),
    "one is possible": lambda x: torch.full_like(x, -math.inf).index_fill(
        1, torch.tensor([x.shape[1] // 2]), -3.0
    ),
    "huge": lambda x: 1e38 * x.clamp(-3, 3),
}


@pytest.mark.parametrize("kind", LOGITS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("target", TARGETS)
def test_tokens_are_those_of_the_sampler(target, size, kind):
    mixed(LOGITS[kind](random(4 * len(SAMPLINGS), size))).check(target)


@pytest.mark.parametrize("kind", ["spread", "narrow", "with ties", "equal"])
@pytest.mark.parametrize("target", TARGETS)
def test_tokens_of_a_large_vocabulary_are_those_of_the_sampler(target, kind):
    mixed(LOGITS[kind](random(len(SAMPLINGS), LARGE))).check(target)


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
    drawn = mixed((3 * random(65, 300)).round(decimals=1))
    together = Drawn(
        drawn.logits[:num_rows],
        drawn.settings[:num_rows],
        drawn.positions[:num_rows],
        drawn.seeds[:num_rows],
    )
    assert together.by_kernels(TARGETS[0]) == drawn.by_kernels(TARGETS[0], 1)[:num_rows]


# ---------------------------------------------------------------------------- what is kept

TIED = [1.0, 2.0, 2.0, 1.5, 2.0, 1.5, 0.5, 1.5, 0.5, 0.0]  # ranked 1 2 4, 3 5 7, 0, 6 8, 9


def tokens_drawn(target: str, row: torch.Tensor, **kwargs: float) -> set[int]:
    return set(repeated(row, SamplingParams(**kwargs), 1500).by_kernels(target))


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
    drawn = repeated(row, SamplingParams(top_k=top_k), 300).by_kernels(target)
    assert max(drawn) < min(top_k, 500)
    assert len(set(drawn)) > min(top_k, 100) // 2


# ------------------------------------------------------------------------------ distributions

TWELVE = [0.3, 1.5, -0.5, 2.0, 1.0, -2.5, 1.4, 0.0, -1.0, 0.5, -1.5, -0.2]


@pytest.mark.parametrize("kwargs", SETTINGS, ids=str)
def test_draws_follow_the_exact_distribution(kwargs):
    kwargs = kwargs | {"temperature": max(kwargs.get("temperature", 1.0), 1e-4)}
    drawn = repeated(torch.tensor([TWELVE]), SamplingParams(**kwargs), 10_000, seed=-(2**62))
    expected = exact_distribution(TWELVE, **(kwargs | {"top_p": kwargs.get("top_p", 1.0) or 1e-30}))
    assert p_value(drawn.by_kernels(TARGETS[0]), expected) > 1e-4


def test_chi_square_notices_a_wrong_distribution():
    drawn = repeated(torch.tensor([TWELVE]), SamplingParams(top_p=0.75), 10_000)
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
    drawn = mixed(random(2 * len(SAMPLINGS), size))
    sound = drawn.by_kernels(target)
    for row in range(0, len(sound), 2):
        drawn.logits[row, row % size] = bad
        sound[row] = -1
    assert drawn.by_kernels(target) == sound == drawn.by_torch()
    drawn.logits[1] = -math.inf
    assert drawn.by_kernels(target)[1] == drawn.by_torch()[1] == -1


def test_logits_are_left_as_they_were():
    drawn = mixed(random(len(SAMPLINGS), 300))
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
