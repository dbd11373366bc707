"""Builds one step: runs of new tokens for the sequences that hold rows.

There is no phase: a run is as long as what the known tokens are ahead of the scheduled ones, cut
by the budget. Decoding is a run of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sglite.kvcache.cache_manager import SequencePages
from sglite.observability.events import Admitted, Arrived, Stepped
from sglite.scheduler.budget import StepWork
from sglite.scheduler.plan import PromptLogprobSpan, RowSetup, StepPlan
from sglite.scheduler.sequence import Sequence


@dataclass(slots=True)
class Step:
    """A plan, the sequence of each of its runs, and how much there is to compute."""

    plan: StepPlan
    sequences: list[Sequence] = field(default_factory=list)
    work: StepWork = field(default_factory=StepWork)


def add_decodes(step: Step, sequences: list[Sequence], *, are_known: bool = False) -> None:
    """Add a run of one token each; the first runs of a plan.

    With ``are_known`` the plan says which token, else it is what the executor sampled last.
    """
    plan, step_id = step.plan, step.plan.step_id
    assert not plan.run_rows, "decodes come first"
    for sequence in sequences:
        plan.run_rows.append(sequence.row)
        plan.run_starts.append(sequence.num_scheduled)
        sequence.num_scheduled += 1
        sequence.num_pending += 1
        sequence.last_step = step_id
    count = len(sequences)
    plan.run_lengths = [1] * count
    plan.run_continues = [not are_known] * count
    if are_known:
        plan.token_ids = [sequence.token_ids[-1] for sequence in sequences]
    plan.sample_runs = list(range(count))
    step.sequences += sequences
    step.work.num_decodes = count
    step.work.num_decode_keys = sum(plan.run_starts)
    step.work.has_streams = any(sequence.request.is_streamed for sequence in sequences)


def add_chunk(step: Step, sequence: Sequence, budget: int) -> int:
    """Add a run of at most ``budget`` known tokens; returns its length."""
    plan, start = step.plan, sequence.num_scheduled
    end = min(sequence.num_tokens, start + budget)
    run = len(plan.run_rows)
    plan.run_rows.append(sequence.row)
    plan.run_starts.append(start)
    plan.run_lengths.append(end - start)
    plan.run_continues.append(False)
    plan.token_ids += sequence.token_ids[start:end]
    step.sequences.append(sequence)
    step.work.add_chunk(start, end - start)
    _add_logprob_span(plan, sequence, run, end)
    if end == sequence.num_tokens and end < sequence.max_total:
        plan.sample_runs.append(run)
        sequence.num_pending += 1
        sequence.row_has_sample = True
    sequence.num_scheduled = end
    sequence.last_step = plan.step_id
    return end - start


def add_new_pages(plan: StepPlan, row: int, pages: SequencePages, first: int) -> None:
    """Tell the executor of the pages of ``row`` from index ``first`` on."""
    for group, page_ids in enumerate(pages.page_ids):
        for index in range(first, len(page_ids)):
            plan.page_updates[group].add(row, index, page_ids[index])


def row_setup(sequence: Sequence) -> RowSetup:
    """What the executor must know about a sequence that holds a row."""
    request = sequence.request
    assert sequence.pages is not None
    stop_ids = request.eos_token_ids | frozenset(request.sampling.stop_token_ids)
    return RowSetup(
        row=sequence.row,
        request_id=sequence.request_id,
        sampling=request.sampling,
        logprobs=request.logprobs,
        seed=request.seed,
        stop_token_ids=tuple(sorted(stop_ids)),
        num_prompt_tokens=sequence.num_prompt_tokens,
        page_ids=tuple([max(page, 0) for page in ids] for ids in sequence.pages.page_ids),
        output_token_ids=sequence.token_ids[sequence.num_prompt_tokens :],
        max_new_tokens=sequence.max_total - sequence.num_prompt_tokens,
        thinking=request.thinking,
    )


def describe_admission(sequence: Sequence, now: float) -> Admitted:
    """The event of a sequence that has just been given a row."""
    return Admitted(
        sequence.request_id,
        sequence.row,
        sequence.num_tokens,
        sequence.num_computed,
        now - sequence.timings.arrival_s,
    )


def describe_arrival(sequence: Sequence) -> Arrived:
    """The event of a sequence that was queued for the first time."""
    max_new_tokens = sequence.max_total - sequence.num_prompt_tokens
    return Arrived(sequence.request_id, sequence.num_prompt_tokens, max_new_tokens)


def describe_step(step: Step, num_waiting: int, budget: int) -> Stepped:
    """The event of a step that is about to be launched."""
    plan, samples = step.plan, set(step.plan.sample_runs)
    runs = [
        (sequence.request_id, plan.run_starts[run], plan.run_lengths[run], run in samples)
        for run, sequence in enumerate(step.sequences)
    ]
    return Stepped(plan.step_id, runs, num_waiting, budget)


def _add_logprob_span(plan: StepPlan, sequence: Sequence, run: int, end: int) -> None:
    """Score the prompt positions whose predecessor is in the run that ends at ``end``."""
    first = sequence.prompt_logprob_next
    last = min(end + 1, sequence.num_prompt_tokens)
    if first < last:
        targets = sequence.token_ids[first:last]
        plan.prompt_logprob_spans.append(PromptLogprobSpan(run, first, last, targets))
        sequence.prompt_logprob_next = last
