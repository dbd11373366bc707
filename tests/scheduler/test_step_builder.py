"""A run is as long as what the known tokens are ahead of the scheduled ones, cut by the budget."""

from __future__ import annotations

import pytest

from sglite.request import LogprobParams, SamplingParams
from sglite.scheduler.budget import StepWork
from sglite.scheduler.plan import StepPlan
from sglite.scheduler.step_builder import (
    Step,
    add_chunk,
    add_decodes,
    describe_step,
    row_setup,
)
from tests.kvcache.building import MIXED, make_cache
from tests.scheduler.building import ids, make_sequence, take_pages


def is_decoding(sequence):
    """True where the next run is the one token that the executor sampled last for the row."""
    return sequence.row_has_sample and sequence.num_bound - sequence.num_scheduled == 1


def new_step(step_id: int = 1) -> Step:
    return Step(StepPlan(step_id, 1))


def after_prompt(text: str, order: int = 0, **fields):
    """A sequence whose whole prompt is in a launched step."""
    sequence = make_sequence(text, order, **fields)
    add_chunk(new_step(0), sequence, 100)
    return sequence


def commit_sample(sequence, token: int) -> None:
    sequence.num_computed = sequence.num_scheduled
    sequence.num_pending -= 1
    sequence.append_token(token)


def test_chunk_is_cut_by_the_budget():
    step, sequence = new_step(7), make_sequence("abcdefgh")
    sequence.row = 5
    assert add_chunk(step, sequence, 3) == 3
    plan = step.plan
    assert (plan.run_rows, plan.run_starts, plan.run_lengths) == ([5], [0], [3])
    assert plan.token_ids == ids("abc") and plan.run_continues == [False]
    assert (sequence.num_scheduled, sequence.num_computed, sequence.last_step) == (3, 0, 7)


def test_only_the_chunk_that_ends_the_prompt_samples():
    sequence = make_sequence("abcdefgh")
    samples, lengths = [], []
    for step_id in range(3):
        step = new_step(step_id)
        lengths.append(add_chunk(step, sequence, 3))
        samples.append(step.plan.sample_runs)
    assert lengths == [3, 3, 2]
    assert samples == [[], [], [0]]
    assert (sequence.num_pending, sequence.row_has_sample) == (1, True)


def test_prompt_without_output_is_computed_and_not_sampled():
    step, sequence = new_step(), make_sequence("abc", max_new_tokens=0)
    assert add_chunk(step, sequence, 10) == 3
    assert step.plan.sample_runs == [] and sequence.num_pending == 0


def test_chunk_starts_behind_the_cached_prefix():
    step, sequence = new_step(), make_sequence("abcdefgh")
    sequence.num_computed = sequence.num_scheduled = 4
    assert add_chunk(step, sequence, 10) == 4
    assert step.plan.run_starts == [4] and step.plan.token_ids == ids("efgh")


def test_decode_continues_without_its_token_leaving_the_device():
    sequence = after_prompt("abcd")
    assert is_decoding(sequence), "before its first sample is committed, too"
    step = new_step(2)
    add_decodes(step, [sequence])
    plan = step.plan
    assert (plan.run_starts, plan.run_lengths) == ([4], [1])
    assert plan.run_continues == [True] and plan.token_ids == [] and plan.sample_runs == [0]
    assert (sequence.num_scheduled, sequence.num_bound, sequence.last_step) == (5, 6, 2)
    commit_sample(sequence, 1)
    commit_sample(sequence, 2)
    assert is_decoding(sequence)


def test_decode_of_a_known_token_says_which():
    sequence = after_prompt("abcd")
    commit_sample(sequence, 7)
    step = new_step(2)
    add_decodes(step, [sequence], are_known=True)
    plan = step.plan
    assert (plan.run_starts, plan.run_lengths) == ([4], [1])
    assert plan.run_continues == [False] and plan.token_ids == [7] and plan.sample_runs == [0]
    assert step.work.num_decodes == 1


def test_sequence_in_its_prompt_is_not_decoding():
    sequence = make_sequence("abcd")
    assert not is_decoding(sequence)
    add_chunk(new_step(), sequence, 3)
    assert not is_decoding(sequence), "one token is left, but it was not sampled in this row"


def test_sequence_back_from_retraction_computes_its_output_as_a_chunk():
    sequence = after_prompt("abcd")
    commit_sample(sequence, 7)
    sequence.num_computed = sequence.num_scheduled = 0
    sequence.row_has_sample = False
    assert not is_decoding(sequence)
    step = new_step(3)
    assert add_chunk(step, sequence, 100) == 5
    assert step.plan.token_ids == [*ids("abcd"), 7] and step.plan.sample_runs == [0]


def test_decodes_come_first_and_chunks_follow():
    decoding = [after_prompt("aaaa", 0), after_prompt("bb", 1)]
    for row, sequence in enumerate(decoding):
        sequence.row = row
    prefilling = make_sequence("cccccc", 2)
    prefilling.row = 2
    step = new_step()
    add_decodes(step, decoding)
    add_chunk(step, prefilling, 5)
    plan = step.plan
    assert plan.run_rows == [0, 1, 2] and plan.run_lengths == [1, 1, 5]
    assert plan.run_continues == [True, True, False] and plan.sample_runs == [0, 1]
    assert step.sequences == [*decoding, prefilling]
    assert step.work == StepWork(2, 4 + 2, 5, 5 * 5 // 2)
    assert describe_step(step, 0, 0).runs == [
        ("r0", 4, 1, True),
        ("r1", 2, 1, True),
        ("r2", 0, 5, False),
    ]


def test_step_says_whether_a_decode_is_streamed():
    step, streamed = new_step(), make_sequence("bb", 1, is_streamed=True)
    add_chunk(step, streamed, 100)
    assert not step.work.has_streams, "it waits for its first token"
    whole = after_prompt("aaaa", 0)
    step = new_step(2)
    add_decodes(step, [whole])
    assert not step.work.has_streams
    step = new_step(3)
    add_decodes(step, [whole, streamed])
    assert step.work.has_streams


def test_decodes_after_a_chunk_are_refused():
    step = new_step()
    add_chunk(step, make_sequence("ab"), 5)
    with pytest.raises(AssertionError, match="decodes come first"):
        add_decodes(step, [])


# -- prompt log-probabilities ----------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 2, 3, 8])
@pytest.mark.parametrize("start_len", [0, 1, 3, 6, 7])
def test_every_wanted_position_is_scored_once_by_the_run_before_it(start_len, chunk):
    text = "abcdefgh"
    sequence = make_sequence(text, logprobs=LogprobParams(start_len=start_len))
    scored = []
    while sequence.num_scheduled < sequence.num_tokens:
        step = new_step()
        start = sequence.num_scheduled
        length = add_chunk(step, sequence, chunk)
        for span in step.plan.prompt_logprob_spans:
            assert span.run == 0 and start < span.start < span.end <= start + length + 1
            assert span.targets == ids(text)[span.start : span.end]
            scored += range(span.start, span.end)
    assert scored == list(range(start_len + 1, 8))


def test_nothing_is_scored_unasked():
    step = new_step()
    add_chunk(step, make_sequence("abcd", logprobs=LogprobParams(top_num=2)), 10)
    assert step.plan.prompt_logprob_spans == []


def test_output_tokens_are_not_scored_as_prompt():
    sequence = make_sequence("abcd", logprobs=LogprobParams(start_len=0))
    sequence.append_token(1)
    step = new_step()
    add_chunk(step, sequence, 10)
    (span,) = step.plan.prompt_logprob_spans
    assert (span.start, span.end) == (1, 4)


# -- rows ------------------------------------------------------------------------------------------


def test_row_setup_tells_what_the_executor_must_know():
    cache = make_cache(MIXED)
    sampling = SamplingParams(stop_token_ids=(9, 3))
    sequence = make_sequence(
        "aaaa bbbb cccc d", 4, seed=11, sampling=sampling, eos_token_ids=frozenset({5})
    )
    sequence.append_token(77)
    take_pages(cache, sequence)
    cache.advance(sequence.pages, 13, after_step=None)
    sequence.row = 6
    setup = row_setup(sequence)
    assert (setup.row, setup.request_id, setup.seed) == (6, "r4", 11)
    assert setup.stop_token_ids == (3, 5, 9)
    assert setup.num_prompt_tokens == 13 and setup.output_token_ids == [77]
    full, window = setup.page_ids
    assert full == sequence.pages.page_ids[0]
    assert window[:2] == [0, 0] and window[2:] == sequence.pages.page_ids[1][2:]


def test_row_setup_is_not_changed_by_later_growth():
    cache = make_cache()
    sequence = take_pages(cache, make_sequence("aaaa"))
    setup = row_setup(sequence)
    cache.try_grow(sequence.pages, 8)
    sequence.append_token(1)
    assert [len(page_ids) for page_ids in setup.page_ids] == [1] and not setup.output_token_ids
