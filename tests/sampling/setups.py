"""Rows for the sampler's tests, and one call that samples them."""

from __future__ import annotations

import torch

from sglite.request import LogprobParams, SamplingParams
from sglite.sampling import Sampler, SampleResult, SamplingState
from sglite.scheduler.plan import RowSetup


def row_setup(
    row: int,
    sampling: SamplingParams | None = None,
    logprobs: LogprobParams | None = None,
    *,
    seed: int = 0,
    stop_token_ids: tuple[int, ...] = (),
    num_prompt_tokens: int = 4,
    output_token_ids: tuple[int, ...] = (),
) -> RowSetup:
    return RowSetup(
        row=row,
        request_id=f"request-{row}",
        sampling=sampling or SamplingParams(),
        logprobs=logprobs,
        seed=seed,
        stop_token_ids=stop_token_ids,
        num_prompt_tokens=num_prompt_tokens,
        page_ids=([],),
        output_token_ids=list(output_token_ids),
    )


def sampler_with(vocab_size: int, *setups: RowSetup, max_rows: int = 8) -> Sampler:
    state = SamplingState(max_rows, vocab_size, "cpu")
    for setup in setups:
        state.set_row(setup)
    return Sampler(state)


def sample(
    sampler: Sampler,
    logits: torch.Tensor,
    rows: list[int],
    positions: list[int] | None = None,
    masks: torch.Tensor | None = None,
) -> SampleResult:
    """Samples a copy of the logits, by default at the first output position."""
    positions_R = torch.tensor(positions or [4] * len(rows))
    return sampler.sample(logits.clone(), rows, positions_R, masks).to_result()
