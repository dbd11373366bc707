"""What the commit of a step does to single sequences, and what it tells of them."""

from __future__ import annotations

import math

from sglite.kvcache.cache_manager import CacheManager
from sglite.request import LogprobParams, OutputBatch, TokenLogprobs
from sglite.scheduler.plan import StepResult
from sglite.scheduler.sequence import Sequence
from sglite.scheduler.step_builder import Step


def mark_poisoned(step: Step, result: StepResult) -> None:
    """Remember whose output was no number, before anything of it can enter the tree."""
    sampled = [step.plan.sample_runs[entry] for entry in result.invalid]
    for run in (*result.invalid_runs, *sampled):
        if step.sequences[run].void_until < step.plan.step_id:
            step.sequences[run].is_poisoned = True


def count_decodes(step: Step) -> int:
    """Single tokens were computed; returns how many runs of the step were that."""
    num_decodes = step.work.num_decodes
    for sequence in step.sequences[:num_decodes]:
        if sequence.void_until < step.plan.step_id:
            sequence.num_computed += 1
    return num_decodes


def leave_windows(step: Step, cache: CacheManager, *, after_step: int | None) -> None:
    """Give up the pages that the windows of the step's sequences have left behind."""
    for sequence in step.sequences:
        if sequence.pages is not None:
            cache.advance(sequence.pages, sequence.num_computed, after_step=after_step)


def take_judged(
    sequence: Sequence,
    entry: int,
    result: StepResult,
    outputs: OutputBatch,
    *,
    newest_open: int | None,
) -> int:
    """Tokens become facts, with their log-probabilities; returns the last of them.

    They are the sampled one, or what the output processor accepted in its place: -1 where that is
    nothing.
    """
    sampled, scores = result.token_ids[entry], result.logprobs.get(entry)
    accepted = result.accepted.get(entry)
    if accepted is not None:
        accepted = up_to_stop(accepted, sequence.stop_ids)
    for number, token in enumerate([sampled] if accepted is None else accepted):
        if scores is not None:
            is_sampled = number == 0 and token == sampled
            asked = sequence.request.logprobs or LogprobParams()
            outputs.logprobs[len(outputs.tokens)] = (
                scores if is_sampled else only_choice(token, asked)
            )
        outputs.tokens.append((sequence.request_id, token))
    if accepted is None:
        sequence.append_token(sampled)
        return sampled
    sequence.take_instead(accepted, newest_open=newest_open)
    return accepted[-1] if accepted else -1


def up_to_stop(token_ids: list[int], stop_ids: frozenset[int]) -> list[int]:
    """Without what follows the first token that ends the answer."""
    places = (place for place, token_id in enumerate(token_ids) if token_id in stop_ids)
    return token_ids[: next(places, len(token_ids)) + 1]


def only_choice(token_id: int, asked: LogprobParams) -> TokenLogprobs:
    """The log-probabilities of a token that had to be: under its mask no other was possible."""
    top = ((token_id, 0.0),) if asked.top_num else ()
    chosen = tuple((other, 0.0 if other == token_id else -math.inf) for other in asked.token_ids)
    return TokenLogprobs(token_id, 0.0, top, chosen)


def tell_prompt_logprobs(step: Step, result: StepResult, outputs: OutputBatch) -> None:
    """The scores of the prompts' tokens, of those requests that still live."""
    spans = step.plan.prompt_logprob_spans
    for span, logprobs in zip(spans, result.prompt_logprobs, strict=True):
        sequence = step.sequences[span.run]
        if not sequence.finished:
            outputs.prompt_logprobs.append((sequence.request_id, logprobs))
