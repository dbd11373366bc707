"""How often a draft model would have chosen the tokens that the main model chose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sglite.errors import ConfigError
from sglite.request import SamplingParams

if TYPE_CHECKING:
    from sglite.evaluation.answering import Answer
    from sglite.generation import Generation
    from sglite.llm import LLM

MIN_AGREEMENT_PERCENT = 60
"""Least agreement, over all instances, that makes a draft model worth its time."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Shares of tokens on which the draft agrees, in percent: per kind and over all instances.

    Each instance counts the same, however long its answer is.
    """

    by_kind: dict[str, float]
    overall: float

    @property
    def suffices(self) -> bool:
        """True where the draft agrees often enough."""
        return self.overall >= MIN_AGREEMENT_PERCENT


def measure_agreement(draft: LLM, answers: list[Answer], *, vocab_size: int) -> Agreement:
    """Let ``draft`` read every prompt and answer, and count where its first choice is the answer's.

    Raises ConfigError where its vocabulary has not ``vocab_size`` tokens, as the main model's has.
    """
    if draft.spec.vocab_size != vocab_size:
        raise ConfigError(
            f"the draft model has {draft.spec.vocab_size:,} tokens in its vocabulary, the main "
            f"model {vocab_size:,}; they must share a tokenizer"
        )
    answered = [answer for answer in answers if answer.generation.token_ids]
    generations = [answer.generation for answer in answered]
    read = draft.generate(
        [generation.prompt_token_ids + generation.token_ids for generation in generations],
        SamplingParams(temperature=0.0, max_new_tokens=0),
        return_logprob=True,
        logprob_start_len=0,
        top_logprobs_num=1,
    )
    assert isinstance(read, list), "a list of prompts gives a list of generations"
    shares = [
        _share(own, len(generation.token_ids))
        for own, generation in zip(read, generations, strict=True)
    ]
    return _summed_up(zip((answer.instance.kind for answer in answered), shares, strict=True))


def _share(read: Generation, num_tokens: int) -> float:
    """Part of the last ``num_tokens`` of what was read that were the most likely ones."""
    entries = (read.prompt_logprobs or [])[-num_tokens:]
    assert len(entries) == num_tokens, f"{len(entries)} of {num_tokens} tokens were scored"
    return sum(entry.top[0][0] == entry.token_id for entry in entries) / num_tokens


def _summed_up(shares: Iterable[tuple[str, float]]) -> Agreement:
    by_kind: dict[str, list[float]] = {}
    for kind, share in shares:
        by_kind.setdefault(kind, []).append(share)
    everything = [share for each in by_kind.values() for share in each]
    return Agreement(
        {kind: _percent(by_kind[kind]) for kind in sorted(by_kind)}, _percent(everything)
    )


def _percent(shares: list[float]) -> float:
    return 100 * sum(shares) / max(len(shares), 1)
