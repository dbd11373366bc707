"""How two engines' answers to the same prompt are compared. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sglite.generation import Generation
    from sglite.request import TokenLogprobs


class Scores(Protocol):
    """What the reference says about every position of one sequence, given those before it."""

    @property
    def max_logit(self) -> float:
        """Largest absolute logit of the sequence."""

    def best(self, position: int) -> tuple[int, float]:
        """The most likely token there, and its logit's lead over the second."""

    def logprob(self, position: int, token_id: int) -> float:
        """Log-probability of a token there."""


@dataclass(frozen=True)
class Tolerance:
    """How far two correct engines may lie apart.

    ``logits`` is relative to the largest logit of the prompt. ``tie``: two best logits of the
    reference closer than this may change places; the comparison of tokens ends where they did.
    """

    logits: float
    tie: float


# bfloat16 has 8 bits: at a logit of 20 neighbours lie 0.125 apart, and each layer rounds anew.
TOLERANCES = {
    "float32": Tolerance(logits=1e-4, tie=1e-4),
    "float16": Tolerance(logits=1e-2, tie=5e-2),
    "bfloat16": Tolerance(logits=5e-2, tie=5e-1),
}


@dataclass(frozen=True)
class Ours:
    """What sglite answered to one prompt: cold in a batch, then alone with its prefix cached."""

    prompt_ids: list[int]
    cold: Generation
    cached: Generation


@dataclass(frozen=True)
class Verdict:
    """One row of the table."""

    num_prompt_tokens: int
    logit_error: float
    num_matching: int
    num_compared: int
    num_cached_tokens: int
    note: str
    holds: bool


def compare(ours: Ours, scored: Scores, tolerance: Tolerance) -> Verdict:
    """``scored`` comes from one forward pass of the reference over the prompt and our tokens.

    As long as our tokens are the reference's choice, its own greedy answer is the same.
    """
    output_ids = list(ours.cold.token_ids)
    num_prompt = len(ours.prompt_ids)
    matching, note = count_matching(output_ids, scored, num_prompt, tolerance.tie)
    of_prompt = list(ours.cold.prompt_logprobs or [])
    ours_scored = of_prompt + list(ours.cold.logprobs or [])[: matching + 1]
    error = logit_error(ours_scored, scored, first=num_prompt - len(of_prompt))
    compared = matching if note.startswith("tie") else len(output_ids)
    again, cached_note = count_matching(
        list(ours.cached.token_ids)[: matching + 1], scored, num_prompt, tolerance.tie
    )
    same_when_cached = again >= matching or cached_note.startswith("tie")
    if not same_when_cached:
        note = "other tokens with the prefix cached"
    holds = error <= tolerance.logits and matching == compared and same_when_cached
    return Verdict(
        num_prompt_tokens=num_prompt,
        logit_error=error,
        num_matching=matching,
        num_compared=compared,
        num_cached_tokens=ours.cached.num_cached_tokens,
        note=note,
        holds=holds,
    )


def count_matching(
    output_ids: list[int], scored: Scores, num_prompt: int, tie: float
) -> tuple[int, str]:
    """How many of our tokens are the reference's choice, and why the count ended."""
    for index, token_id in enumerate(output_ids):
        best, gap = scored.best(num_prompt + index)
        if token_id == best:
            continue
        if gap < tie:
            return index, f"tie after {index} tokens ({gap:.1e})"
        return index, f"token {index} is {token_id}, reference {best}"
    return len(output_ids), ""


def logit_error(ours: Sequence[TokenLogprobs], scored: Scores, *, first: int) -> float:
    """Largest difference of a log-probability, relative to the largest logit.

    ``ours[i]`` belongs to position ``first + i``; position 0 has none.
    """
    worst = 0.0
    for position, each in enumerate(ours, start=first):
        if each.logprob is None:
            continue
        for token_id, logprob in ((each.token_id, each.logprob), *each.top):
            worst = max(worst, abs(logprob - scored.logprob(position, token_id)))
    return worst / max(1.0, scored.max_logit)
