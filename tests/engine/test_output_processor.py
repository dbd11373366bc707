from __future__ import annotations

import numpy as np

from sglite.engine.output_processor import OutputProcessor
from sglite.grammar.backend import GrammarTooComplexError, Words
from sglite.grammar.constraint import Taken
from sglite.grammar.masks import MaskFiller
from sglite.request import SamplingParams
from sglite.scheduler.plan import RowSetup, StepPlan, StepResult, StopMatch


class Countdown:
    """Matches when it has seen the token 9."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def push(self, token_id: int) -> StopMatch | None:
        self.seen.append(token_id)
        return StopMatch("nine") if token_id == 9 else None


def setup(row: int, *, stop: tuple[str, ...] = ("nine",), output: tuple[int, ...] = ()) -> RowSetup:
    return RowSetup(
        row=row,
        request_id=f"r{row}",
        sampling=SamplingParams(stop=stop),
        logprobs=None,
        seed=0,
        stop_token_ids=(),
        num_prompt_tokens=1,
        page_ids=([],),
        output_token_ids=list(output),
    )


def plan(
    rows: list[int],
    *,
    added: tuple[RowSetup, ...] = (),
    cleared: tuple[int, ...] = (),
    step_id: int = 1,
) -> StepPlan:
    return StepPlan(
        step_id,
        1,
        added_rows=list(added),
        cleared_rows=list(cleared),
        run_rows=rows,
        sample_runs=list(range(len(rows))),
    )


class Made:
    """A processor, and the checkers that it made."""

    def __init__(self) -> None:
        self.checkers: list[Countdown] = []
        self.processor = OutputProcessor(self._make)

    def _make(self, sampling: SamplingParams) -> Countdown | None:
        if not sampling.stop:
            return None
        self.checkers.append(Countdown())
        return self.checkers[-1]


def test_verdicts_are_keyed_by_entry() -> None:
    made = Made()
    step = plan([4, 2, 7], added=(setup(4), setup(2, stop=()), setup(7)))
    made.processor.observe(step)
    result = made.processor.judge(step, StepResult([1, 9, 9]))
    assert result.stops == {2: StopMatch("nine")}
    assert [checker.seen for checker in made.checkers] == [[1], [9]]


def test_only_sampled_runs_are_judged() -> None:
    made = Made()
    step = plan([0, 1], added=(setup(0), setup(1)))
    step.sample_runs = [1]
    made.processor.observe(step)
    assert made.processor.judge(step, StepResult([9])).stops == {0: StopMatch("nine")}
    assert made.checkers[0].seen == []


def test_invalid_entries_are_not_judged() -> None:
    made = Made()
    step = plan([0], added=(setup(0),))
    made.processor.observe(step)
    assert made.processor.judge(step, StepResult([9], invalid=frozenset({0}))).stops == {}


def test_a_request_that_comes_back_is_checked_from_its_first_token_on() -> None:
    made = Made()
    made.processor.observe(plan([0], added=(setup(0, output=(5, 6)),)))
    assert made.checkers[0].seen == [5, 6]


def test_a_row_that_changes_hands_changes_its_checker() -> None:
    made = Made()
    made.processor.observe(plan([0], added=(setup(0),)))
    step = plan([0], added=(setup(0, stop=()),), cleared=(0,))
    made.processor.observe(step)
    assert made.processor.judge(step, StepResult([9])).stops == {}
    assert made.checkers[0].seen == []


def test_a_failing_checker_is_reported_once_and_dropped() -> None:
    made = Made()
    step = plan([0, 1], added=(setup(0), setup(1)))
    made.processor.observe(step)

    def fail(token_id: int) -> None:
        raise ValueError(token_id)

    made.checkers[0].push = fail  # type: ignore[method-assign,assignment]
    assert made.processor.judge(step, StepResult([9, 9])).stops == {1: StopMatch("nine")}
    assert list(made.processor.take_failed()) == ["r0"]
    made.processor.judge(step, StepResult([9, 9]))
    assert made.processor.take_failed() == {}


def test_without_stops_results_pass_untouched() -> None:
    processor = OutputProcessor(lambda _: None)
    step = plan([0], added=(setup(0),))
    processor.observe(step)
    result = StepResult([9])
    assert processor.judge(step, result) is result
    assert result.stops == {}


class Script:
    """A constraint that answers as it is told; its mask allows token ``allowed`` alone."""

    def __init__(self, *answers: Taken | Exception, allowed: int = 0) -> None:
        self.needs_mask = True
        self.answers = list(answers)
        self.allowed = allowed
        self.taken: list[int] = []
        self.replayed: list[int] = []

    def fill_mask(self, words_W: Words) -> None:
        words_W[:] = 0
        words_W.view(np.uint32)[self.allowed // 32] = np.uint32(1 << self.allowed % 32)

    def take(self, token_id: int) -> Taken:
        self.taken.append(token_id)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def replay(self, token_ids: list[int]) -> None:
        self.replayed += token_ids


def constrained(scripts: dict[int, Script], *, has_stops: bool = False) -> OutputProcessor:
    """A processor whose rows are held to ``scripts``."""
    return OutputProcessor(
        lambda _: Countdown() if has_stops else None,
        lambda setup: scripts.get(setup.row),
        MaskFiller(40, num_threads=1),
    )


def test_masked_are_the_rows_that_have_a_constraint_and_need_one_now() -> None:
    scripts = {1: Script(allowed=33), 2: Script(allowed=5)}
    scripts[2].needs_mask = False
    processor = constrained(scripts)
    step = plan([0, 1, 2], added=(setup(0), setup(1), setup(2)))
    processor.observe(step)
    assert step.masked_runs == [1, 2]
    masks = processor.take_masks(step, processor.begin_masks(step))
    assert masks.entries == [1]
    assert masks.words_MW.tolist() == [[0, 2]]
    processor.close()


def test_tokens_that_stand_besides_or_instead_are_accepted() -> None:
    scripts = {0: Script(Taken([4, 5, 6], 2)), 1: Script(Taken([7])), 2: Script(Taken([8]))}
    processor = constrained(scripts)
    step = plan([0, 1, 2], added=(setup(0), setup(1), setup(2)))
    processor.observe(step)
    result = processor.judge(step, StepResult([4, 1, 8]))
    assert result.accepted == {0: [4, 5, 6], 1: [7]}
    assert [script.taken for script in scripts.values()] == [[4], [1], [8]]


def test_what_an_open_step_draws_after_a_token_that_did_not_stand_is_void() -> None:
    script = Script(Taken([7, 8], 1), Taken([3]))
    processor = constrained({0: script})
    first, second = plan([0], added=(setup(0),)), plan([0], step_id=2)
    processor.observe(first)
    processor.observe(second)
    assert processor.judge(first, StepResult([7])).accepted == {0: [7, 8]}
    assert processor.take_masks(second, processor.begin_masks(second)).entries == []
    assert processor.judge(second, StepResult([9])).accepted == {}
    third = plan([0], step_id=3)
    processor.observe(third)
    processor.judge(third, StepResult([3]))
    assert script.taken == [7, 3]


def test_masks_wait_for_open_steps_that_sample_their_rows_and_for_no_others() -> None:
    processor = constrained({0: Script(), 1: Script()})
    first = plan([0], added=(setup(0), setup(1), setup(2)))
    other, same, free = (plan([row], step_id=step_id) for row, step_id in ((1, 2), (0, 3), (2, 4)))
    for step in (first, other, same, free):
        processor.observe(step)
    assert [processor.can_mask(step) for step in (first, other, same, free)] == [
        True, True, False, True,
    ]  # fmt: skip
    processor.judge(first, StepResult([1]))
    assert processor.can_mask(same)


def test_a_complete_answer_ends_and_its_surplus_token_is_nobodys() -> None:
    script = Script(Taken([2], is_end=True))
    processor = constrained({0: script})
    first, second = plan([0], added=(setup(0),)), plan([0], step_id=2)
    processor.observe(first)
    processor.observe(second)
    assert processor.judge(first, StepResult([2])).stops == {0: StopMatch(None)}
    assert processor.judge(second, StepResult([9])).stops == {}
    assert script.taken == [2]


def test_an_answer_that_was_cut_says_so() -> None:
    processor = constrained({0: Script(Taken([5], is_end=True, is_cut=True))})
    step = plan([0], added=(setup(0),))
    processor.observe(step)
    result = processor.judge(step, StepResult([2]))
    assert result.accepted == {0: [5]}
    assert result.stops == {0: StopMatch(None, is_cut=True)}


def test_a_stop_among_accepted_tokens_cuts_them() -> None:
    processor = constrained({0: Script(Taken([8, 9, 7], 2, is_end=True))}, has_stops=True)
    step = plan([0], added=(setup(0),))
    processor.observe(step)
    result = processor.judge(step, StepResult([8]))
    assert result.accepted == {0: [8, 9]}
    assert result.stops == {0: StopMatch("nine")}


def test_a_constraint_that_gives_up_ends_its_request_alone() -> None:
    scripts = {0: Script(GrammarTooComplexError("too much")), 1: Script(ValueError("a fault"))}
    processor = constrained(scripts)
    step = plan([0, 1, 2], added=(setup(0), setup(1), setup(2)))
    processor.observe(step)
    result = processor.judge(step, StepResult([1, 2, 3]))
    assert result.accepted == {}
    failed = processor.take_failed()
    assert failed == {"r0": "too much", "r1": "the check of its output failed"}


def test_a_mask_that_cannot_be_made_ends_its_request_and_leaves_the_row_free() -> None:
    script = Script()

    def give_up(words_W: Words) -> None:
        raise GrammarTooComplexError("too much")

    script.fill_mask = give_up  # type: ignore[method-assign]
    processor = constrained({0: script})
    step = plan([0], added=(setup(0),))
    processor.observe(step)
    masks = processor.take_masks(step, processor.begin_masks(step))
    assert masks.words_MW.tolist() == [[-1, -1]]
    assert processor.take_failed() == {"r0": "too much"}


def test_a_constraint_that_comes_back_has_its_output_behind_it() -> None:
    script = Script()
    processor = constrained({0: script})
    processor.observe(plan([0], added=(setup(0, output=(5, 6)),)))
    assert script.replayed == [5, 6]


def test_an_output_that_cannot_be_replayed_ends_its_request_alone() -> None:
    def refuse(token_ids: list[int]) -> None:
        raise ValueError("does not fit")

    broken, sound = Script(), Script(Taken([7, 8]))
    broken.replay = refuse  # type: ignore[method-assign]
    processor = constrained({0: broken, 1: sound})
    step = plan([0, 1], added=(setup(0, output=(5,)), setup(1, output=(6,))))
    processor.observe(step)
    assert step.masked_runs == [1]
    assert processor.take_failed() == {"r0": "the check of its output failed"}
    assert processor.judge(step, StepResult([1, 7])).accepted == {1: [7, 8]}
