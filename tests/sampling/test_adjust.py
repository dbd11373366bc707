"""Penalties, bias, minimum length and mask against a plain Python reference."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from sglite.request import SamplingParams
from sglite.sampling import RowMasks, SamplingState
from sglite.sampling.adjust import adjust_logits
from tests.sampling.setups import packed, row_setup

VOCAB = 40
INF = float("inf")


def reference(
    logits: list[float], setup, *, position: int, mask: list[bool] | None = None
) -> list[float]:
    """One row, one token at a time, in the documented order."""
    sampling, counts = setup.sampling, Counter(setup.output_token_ids)
    is_early = position - setup.num_prompt_tokens < sampling.min_new_tokens
    adjusted = []
    for token, x in enumerate(logits):
        count = counts[token]
        x -= sampling.frequency_penalty * count + sampling.presence_penalty * (count > 0)
        x += (sampling.logit_bias or {}).get(token, 0.0)
        if is_early and token in setup.stop_token_ids:
            x = -INF
        if count:
            factor = sampling.repetition_penalty
            x = x / factor if x > 0 else x * factor
        adjusted.append(x if mask is None or mask[token] else -INF)
    return adjusted


def adjusted(setups, logits, positions, masks=None) -> list[list[float]]:
    state = SamplingState(16, VOCAB, "cpu")
    for setup in setups:
        state.set_row(setup)
    batch = state.batch([setup.row for setup in setups])
    logits = logits.clone()
    row_masks = None if masks is None else RowMasks(masks, len(setups), logits.device)
    adjust_logits(logits, batch, state.counts, torch.tensor(positions), masks=row_masks)
    return logits.tolist()


PARAMS = [
    SamplingParams(),
    SamplingParams(presence_penalty=1.5),
    SamplingParams(frequency_penalty=-0.7),
    SamplingParams(repetition_penalty=1.4),
    SamplingParams(repetition_penalty=0.5, frequency_penalty=0.3),
    SamplingParams(logit_bias={0: 5.0, 39: -100.0}),
    SamplingParams(min_new_tokens=3),
    SamplingParams(
        presence_penalty=-1.0,
        frequency_penalty=2.0,
        repetition_penalty=1.1,
        logit_bias={2: 3.0, 5: 1.0},
        min_new_tokens=4,
    ),
]


def setups_of(params: list[SamplingParams]):
    outputs = [(5, 5, 2, 39), (0,), (), (2, 2, 2, 2, 7), (5, 6)]
    return [
        row_setup(
            15 - i,
            sampling,
            stop_token_ids=(2, 11),
            num_prompt_tokens=6,
            output_token_ids=outputs[i % len(outputs)],
        )
        for i, sampling in enumerate(params)
    ]


@pytest.mark.parametrize("has_mask", [False, True])
@pytest.mark.parametrize("position", [6, 8, 9, 10])
def test_rows_match_the_plain_reference_together(position, has_mask):
    setups = setups_of(PARAMS)
    logits = torch.randn(len(setups), VOCAB) * 4
    masks = torch.rand(len(setups), VOCAB) < 0.5 if has_mask else None
    got = adjusted(
        setups, logits, [position] * len(setups), None if masks is None else packed(masks)
    )
    for i, setup in enumerate(setups):
        mask = masks[i].tolist() if has_mask else None
        expected = reference(logits[i].tolist(), setup, position=position, mask=mask)
        assert got[i] == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("sampling", PARAMS[1:])
def test_row_is_adjusted_alone_as_in_a_batch(sampling):
    setups = setups_of([*PARAMS, sampling])
    logits = torch.randn(len(setups), VOCAB)
    together = adjusted(setups, logits, [7] * len(setups))[-1]
    assert adjusted(setups[-1:], logits[-1:], [7]) == [together]


def test_mask_and_minimum_hold_against_any_bias():
    sampling = SamplingParams(logit_bias={2: 3e38, 3: 3e38}, min_new_tokens=1)
    setup = row_setup(0, sampling, stop_token_ids=(2,), num_prompt_tokens=6)
    masks = torch.ones(1, VOCAB, dtype=torch.bool)
    masks[0, 3] = False
    got = adjusted([setup], torch.zeros(1, VOCAB), [6], packed(masks))[0]
    assert got[2] == got[3] == -INF


@pytest.mark.parametrize("factor", [5e-324, 1e-30, 2.0])
def test_repetition_penalty_never_makes_an_infinity(factor):
    sampling = SamplingParams(repetition_penalty=factor, logit_bias={1: 3e38})
    setup = row_setup(0, sampling, output_token_ids=(1, 2, 3))
    logits = torch.zeros(1, VOCAB)
    logits[0, 2], logits[0, 3] = 30.0, -INF
    got = adjusted([setup], logits, [9])[0]
    assert all(math.isfinite(x) for x in got[:3]) and got[3] == -INF


def test_penalties_do_not_hide_a_nan():
    setup = row_setup(0, PARAMS[-1], output_token_ids=(1,))
    logits = torch.zeros(1, VOCAB)
    logits[0, 1] = float("nan")
    assert math.isnan(adjusted([setup], logits, [9])[0][1])
