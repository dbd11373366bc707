"""Rows of logits that draw in different ways, and what the sampler draws from them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from sglite.kernels.draw import DrawParameters
from sglite.kernels.draw.noise import exponential_noise, row_keys
from sglite.request import SamplingParams
from sglite.sampling import TokenMasks
from tests.sampling.setups import packed, row_setup, sampler_with

SLACK = 1e-5  # of weights and scores: what the last bits of an exponential or a sum may decide

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


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@dataclass
class Rows:
    """Rows of logits with their parameters; row ``i`` draws with seed ``seeds[i]``."""

    logits: torch.Tensor
    settings: list[SamplingParams]
    positions: list[int]
    seeds: list[int]

    @classmethod
    def mixed(cls, logits: torch.Tensor) -> Rows:
        """Rows that each draw in another way."""
        count = len(logits)
        return cls(
            logits,
            [SAMPLINGS[i % len(SAMPLINGS)] for i in range(count)],
            [3 * i for i in range(count)],
            [(-1) ** i * (2**62 // (i + 1)) for i in range(count)],
        )

    @classmethod
    def repeated(
        cls, row: torch.Tensor, sampling: SamplingParams, count: int, seed: int = 5
    ) -> Rows:
        """One row at as many positions."""
        positions = list(range(count))
        return cls(
            row.expand(count, -1).contiguous(), [sampling] * count, positions, [seed] * count
        )

    def of(self, indices: list[int]) -> Rows:
        """Some of the rows, in this order."""
        return type(self)(
            self.logits[indices],
            [self.settings[i] for i in indices],
            [self.positions[i] for i in indices],
            [self.seeds[i] for i in indices],
        )

    def hiding(self, legal: torch.Tensor) -> Rows:
        """The same with logits of -inf where ``legal`` is False: a reference for masks."""
        logits = self.logits.masked_fill(~legal, -math.inf)
        return type(self)(logits, self.settings, self.positions, self.seeds)

    def by_sampler(self, masks: TokenMasks | None = None) -> list[int]:
        """The sampler's tokens; -1 where it calls a row invalid."""
        rows = list(range(len(self.logits)))
        pairs = zip(self.settings, self.seeds, strict=True)
        setups = [row_setup(i, sampling, seed=seed) for i, (sampling, seed) in enumerate(pairs)]
        sampler = sampler_with(self.logits.shape[1], *setups, max_rows=len(rows))
        positions = torch.tensor(self.positions)
        result = sampler.sample(self.logits.clone(), rows, positions, masks).to_result()
        return [-1 if i in result.invalid else t for i, t in enumerate(result.token_ids)]

    def drawn_by(self, draw: Callable[..., None], device: str = "cpu") -> list[int]:
        """The tokens that an implementation of ``kernels.draw`` writes; both ways they agree."""
        count, size = self.logits.shape
        # Rows of the executor in another order than the step's, and some that take no part.
        rows = torch.arange(count, dtype=torch.int32, device=device).flip(0) + 2
        last = torch.full((count + 3,), -7, device=device)
        tokens = torch.full((count,), -7, dtype=torch.int32, device=device)
        positions = torch.tensor(self.positions, dtype=torch.int32, device=device)
        parameters = self.parameters(size, device)
        logits = self.logits.to(device)
        draw(logits, rows, positions, parameters, last_token_W=last, token_ids_R=tokens)
        assert last[2:-1].flip(0).tolist() == tokens.clamp(min=0).tolist()
        assert last[[0, 1, -1]].tolist() == [-7, -7, -7]
        return tokens.tolist()

    def parameters(self, size: int, device: str) -> DrawParameters:
        """The arrays of the executor for rows of :meth:`drawn_by`; other rows hold nonsense."""

        def array(values: list[float], dtype: torch.dtype) -> torch.Tensor:
            return torch.tensor([-1, -1, *reversed(values), -1], dtype=dtype, device=device)

        settings = self.settings
        return DrawParameters(
            array([0.0 if s.is_greedy else s.temperature for s in settings], torch.float32),
            array([max(s.top_p, 1e-30) for s in settings], torch.float32),
            array([s.min_p for s in settings], torch.float32),
            array(self.seeds, torch.int64),
            array([size if s.top_k == -1 else min(s.top_k, size) for s in settings], torch.int64),
        )

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

    def check(self, tokens: list[int], legal: torch.Tensor | None = None) -> None:
        """Assert that these are the sampler's, near ties aside; ``legal``: from these."""
        judge = self if legal is None else self.hiding(legal)
        by_sampler = self.by_sampler(None if legal is None else packed(legal))
        for row, (found, expected) in enumerate(zip(tokens, by_sampler, strict=True)):
            assert found == expected or judge.is_near_tie(row, found), (row, found, expected)
