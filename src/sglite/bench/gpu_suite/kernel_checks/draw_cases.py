"""The race for the next tokens, with filters and without."""

from __future__ import annotations

from functools import partial

import torch

from sglite.bench.gpu_suite.kernel_checks.case import Case, Pair, Place
from sglite.kernels.draw import DrawParameters, noise, reference
from sglite.kernels.draw.ranking import surviving_tokens

SIZES = [(1, 1), (3, 97), (2, 4097), (256, 4096), (1, 151_936), (256, 151_936)]
FILTERS: dict[str, tuple[float, float, float]] = {
    "unfiltered": (1.0, 0.0, 1.0),
    "top-p": (0.9, 0.0, 1.0),
    "min-p": (1.0, 0.05, 1.0),
    "top-k": (1.0, 0.0, 0.02),
    "all filters": (0.8, 0.01, 0.05),
}
"""Top-p, min-p, and top-k as a share of the vocabulary."""

NEAR = 1e-3
"""Logarithms of scores this close may change places: those of a GPU differ in their last bits."""

SPARE_ROWS = 3


def cases() -> list[Case]:
    """Rows and sizes of the vocabulary, every filter, and rows that have no next token."""
    found = [
        Case("draw", f"{words}, {rows} x {vocab}", partial(draw, rows, vocab, words), is_large)
        for rows, vocab in SIZES
        for words in FILTERS
        for is_large in [rows * vocab > 16_000]
    ]
    return [*found, Case("draw", "rows without a token", invalid)]


def draw(rows: int, vocab: int, words: str, place: Place) -> list[Pair]:
    """Every third row takes the likeliest. Where a token differs its score has to be as good."""
    step = Step(place.randn(rows, vocab) * 3, words, place)
    expected, their_last = step.drawn(reference)
    actual, our_last = step.drawn(place.implementation("draw"))
    scores = step.log_scores()
    reached, best = (
        scores.gather(1, tokens.long()[:, None])[:, 0] for tokens in (actual.clamp(min=0), expected)
    )
    is_as_good = (actual >= 0) & ((best - reached).abs() <= NEAR * (1 + best.abs()))
    given = our_last[step.rows_R]
    return [
        Pair(torch.where(is_as_good, expected, actual), expected),
        Pair(given, actual.clamp(min=0).long()),
        Pair(our_last[:SPARE_ROWS], their_last[:SPARE_ROWS]),
    ]


def invalid(place: Place) -> list[Pair]:
    """No number, infinity, nothing above minus infinity; then a row that is well."""
    logits = place.randn(4, 300)
    logits[0, 17], logits[1, 290], logits[2] = torch.nan, torch.inf, -torch.inf
    step = Step(logits, "unfiltered", place)
    ours, theirs = step.drawn(place.implementation("draw")), step.drawn(reference)
    return [Pair(actual, expected) for actual, expected in zip(ours, theirs, strict=True)]


class Step:
    """Logits and how their rows draw; the rows of the executor are others, in another order."""

    def __init__(self, logits_RV: torch.Tensor, words: str, place: Place) -> None:
        rows, vocab = logits_RV.shape
        top_p, min_p, top_k = FILTERS[words]
        device, all_rows = place.device, rows + SPARE_ROWS
        self.logits_RV = logits_RV
        self.rows_R = torch.arange(all_rows - 1, SPARE_ROWS - 1, -1, device=device).int()
        self.positions_R = 5 + torch.arange(rows, device=device).int()
        temperature_W = torch.full((all_rows,), 0.8, device=device)
        temperature_W[::3] = 0.0
        self.parameters = DrawParameters(
            temperature_W,
            torch.full((all_rows,), top_p, device=device),
            torch.full((all_rows,), min_p, device=device),
            torch.arange(all_rows, device=device),
            torch.full((all_rows,), max(1, round(top_k * vocab)), device=device),
        )

    def drawn(self, module: object) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens of the rows, int32, and the last tokens of all rows of the executor."""
        device = self.logits_RV.device
        last_token_W = torch.full_like(self.parameters.seed_W, 7)
        token_ids_R = torch.full((len(self.rows_R),), -2, dtype=torch.int32, device=device)
        module.draw(  # type: ignore[attr-defined]
            self.logits_RV,
            self.rows_R,
            self.positions_R,
            self.parameters,
            last_token_W=last_token_W,
            token_ids_R=token_ids_R,
        )
        return token_ids_R, last_token_W

    def log_scores(self) -> torch.Tensor:
        """What the tokens race with, ``[R, V]``; those that a filter stops have minus infinity."""
        rows_R, parameters = self.rows_R.long(), self.parameters
        logits_RV = self.logits_RV.float()
        temperature_R1 = parameters.temperature_W[rows_R, None]
        is_greedy_R1 = temperature_R1 <= 0
        weights_RK, ids_RK = surviving_tokens(
            (logits_RV / temperature_R1.masked_fill(is_greedy_R1, 1.0)).softmax(-1),
            parameters.top_k_W[rows_R],
            parameters.top_p_W[rows_R],
            parameters.min_p_W[rows_R],
            max_top_k=logits_RV.shape[1],
        )
        keys_R2 = noise.row_keys(parameters.seed_W[rows_R], self.positions_R.long())
        noise_RK = noise.exponential_noise(keys_R2, ids_RK.to(torch.int32))
        race_RV = torch.full_like(logits_RV, -torch.inf)
        race_RV.scatter_(1, ids_RK, weights_RK.log() - noise_RK.log())
        return torch.where(is_greedy_R1, logits_RV, race_RV)
