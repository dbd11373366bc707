"""The race for the next tokens."""

from __future__ import annotations

from functools import partial

import torch

from sglite.bench.gpu_suite.kernel_checks.case import Case, Pair, Place
from sglite.kernels.draw import Draws, noise, reference

SIZES = [(1, 1), (3, 97), (2, 4097), (256, 4096), (1, 151_936), (256, 151_936)]
NEAR = 1e-4
"""Scores this close may change places: a GPU's logarithm differs in its last bits."""


def cases() -> list[Case]:
    """Rows and sizes of the vocabulary, and rows that have no next token."""
    found = [
        Case("draw", f"{rows} rows of {vocab}", partial(draw, rows, vocab), rows * vocab > 16_000)
        for rows, vocab in SIZES
    ]
    return [*found, Case("draw", "rows without a token", invalid)]


def draw(rows: int, vocab: int, place: Place) -> list[Pair]:
    """Every third row takes the likeliest. Where a token differs its score has to be as good."""
    logits, draws = place.randn(rows, vocab) * 3, _draws(rows, place)
    expected = reference.draw(logits, draws)
    actual = place.implementation("draw").draw(logits, draws)
    scores = _scores(logits, draws)
    reached, best = (
        scores.gather(1, tokens[:, None])[:, 0].float() for tokens in (actual, expected)
    )
    is_as_good = (best - reached).abs() <= NEAR * (1 + best.abs())
    return [Pair(torch.where(is_as_good, expected, actual), expected)]


def invalid(place: Place) -> list[Pair]:
    """No number, infinity, nothing above minus infinity; then a row that is well."""
    logits = place.randn(4, 300)
    logits[0, 17], logits[1, 290], logits[2] = torch.nan, torch.inf, -torch.inf
    draws = _draws(4, place)
    return [Pair(place.implementation("draw").draw(logits, draws), reference.draw(logits, draws))]


def _draws(rows: int, place: Place) -> Draws:
    seeds = torch.arange(rows, device=place.device)
    temperature = torch.full((rows,), 0.8, device=place.device)
    temperature[::3] = 0.0
    return Draws(temperature, noise.row_keys(seeds, seeds + 5))


def _scores(logits_RV: torch.Tensor, draws: Draws) -> torch.Tensor:
    """What the tokens race with."""
    token_ids = torch.arange(logits_RV.shape[1], dtype=torch.int32, device=logits_RV.device)
    is_greedy = (draws.temperature_R <= 0)[:, None]
    temperature = draws.temperature_R[:, None].masked_fill(is_greedy, 1.0)
    race = logits_RV / temperature - noise.exponential_noise(draws.keys_R2, token_ids).log()
    return torch.where(is_greedy, logits_RV.float(), race)
