from __future__ import annotations

import math

import pytest

from sglite.request import LogprobParams, OutputBatch, TokenLogprobs
from sglite.scheduler.budget import StepWork
from sglite.scheduler.commit import (
    count_decodes,
    mark_poisoned,
    only_choice,
    take_judged,
    tell_prompt_logprobs,
    up_to_stop,
)
from sglite.scheduler.plan import PromptLogprobSpan, StepPlan, StepResult
from sglite.scheduler.sequence import Sequence
from sglite.scheduler.step_builder import Step
from tests.scheduler.building import make_sequence

STEP_ID = 7


def make_step(*sequences: Sequence) -> Step:
    """A decode step of these sequences."""
    count = len(sequences)
    runs = list(range(count))
    continues = [True] * count
    plan = StepPlan(STEP_ID, 1, run_rows=runs, sample_runs=runs, run_continues=continues)
    return Step(plan, list(sequences), StepWork(num_decodes=count))


def decoding(text: str, order: int = 0, *, logprobs: LogprobParams | None = None) -> Sequence:
    """A sequence with all of its tokens computed, whose next one is scheduled and pending."""
    sequence = make_sequence(text, order, logprobs=logprobs)
    sequence.num_computed = sequence.num_tokens
    sequence.num_scheduled = sequence.num_tokens + 1
    sequence.num_pending = 1
    sequence.row_has_sample = True
    return sequence


def test_the_sampled_token_becomes_a_fact() -> None:
    sequence, outputs = decoding("ab"), OutputBatch()
    assert take_judged(sequence, 0, StepResult([5]), outputs, newest_open=None) == 5
    assert sequence.token_ids[2:] == [5]
    assert outputs.tokens == [("r0", 5)]
    assert sequence.num_jumped_tokens == 0


def test_accepted_tokens_stand_instead_and_open_steps_are_void() -> None:
    sequence, outputs = decoding("ab"), OutputBatch()
    result = StepResult([5], accepted={0: [6, 7, 8]})
    assert take_judged(sequence, 0, result, outputs, newest_open=9) == 8
    assert sequence.token_ids[2:] == [6, 7, 8]
    assert outputs.tokens == [("r0", 6), ("r0", 7), ("r0", 8)]
    assert sequence.num_jumped_tokens == 2
    assert sequence.num_scheduled == sequence.num_computed == 2
    assert (sequence.num_pending, sequence.row_has_sample) == (0, False)
    assert sequence.void_until == 9


def test_where_nothing_stands_nothing_is_told() -> None:
    sequence, outputs = decoding("ab"), OutputBatch()
    result = StepResult([5], accepted={0: []})
    assert take_judged(sequence, 0, result, outputs, newest_open=None) == -1
    assert (sequence.num_tokens, outputs.tokens) == (2, [])


def test_forced_tokens_have_the_logprobs_of_an_only_choice() -> None:
    sequence = decoding("ab", logprobs=LogprobParams(top_num=1, token_ids=(6, 3)))
    scored, outputs = TokenLogprobs(5, -1.5), OutputBatch(tokens=[("other", 1)])
    result = StepResult([5], accepted={0: [5, 6]}, logprobs={0: scored})
    take_judged(sequence, 0, result, outputs, newest_open=None)
    forced = TokenLogprobs(6, 0.0, ((6, 0.0),), ((6, 0.0), (3, -math.inf)))
    assert outputs.logprobs == {1: scored, 2: forced}


def test_a_token_in_the_place_of_the_sampled_one_does_not_get_its_logprobs() -> None:
    sequence = decoding("ab", logprobs=LogprobParams())
    outputs = OutputBatch()
    result = StepResult([5], accepted={0: [6]}, logprobs={0: TokenLogprobs(5, -1.5)})
    take_judged(sequence, 0, result, outputs, newest_open=None)
    assert outputs.logprobs == {0: only_choice(6, LogprobParams())}


def test_only_runs_that_count_advance_what_is_computed() -> None:
    stands, void = decoding("ab", 0), decoding("cd", 1)
    void.void_until = STEP_ID
    assert count_decodes(make_step(stands, void)) == 2
    assert (stands.num_computed, void.num_computed) == (3, 2)


def test_no_number_poisons_unless_the_run_is_void() -> None:
    first, second, void = decoding("a", 0), decoding("b", 1), decoding("c", 2)
    void.void_until = STEP_ID
    result = StepResult([1, 2, 3], invalid=frozenset({0, 2}), invalid_runs=frozenset({1}))
    mark_poisoned(make_step(first, second, void), result)
    assert [each.is_poisoned for each in (first, second, void)] == [True, True, False]


def test_prompt_logprobs_are_told_to_those_who_live() -> None:
    lives, ended = decoding("ab", 0), decoding("cd", 1)
    ended.finished = True
    step = make_step(lives, ended)
    step.plan.prompt_logprob_spans = [PromptLogprobSpan(run, 1, 2, [1]) for run in (0, 1)]
    scores, outputs = [TokenLogprobs(1, -1.0)], OutputBatch()
    tell_prompt_logprobs(step, StepResult([], prompt_logprobs=[scores, scores]), outputs)
    assert outputs.prompt_logprobs == [("r0", scores)]


@pytest.mark.parametrize(
    ("token_ids", "left"),
    [([], []), ([5, 6], [5, 6]), ([7, 5], [7]), ([5, 7], [5, 7]), ([5, 8, 7, 6], [5, 8])],
)
def test_nothing_follows_the_first_token_that_ends_an_answer(token_ids, left):
    assert up_to_stop(token_ids, frozenset({7, 8})) == left
