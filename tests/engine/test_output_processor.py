from __future__ import annotations

from sglite.engine.output_processor import OutputProcessor
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


def plan(rows: list[int], *, added: tuple[RowSetup, ...] = (), cleared: tuple[int, ...] = ()):
    return StepPlan(
        1,
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
    assert made.processor.take_failed() == ["r0"]
    made.processor.judge(step, StepResult([9, 9]))
    assert made.processor.take_failed() == []


def test_without_stops_results_pass_untouched() -> None:
    processor = OutputProcessor(lambda _: None)
    step = plan([0], added=(setup(0),))
    processor.observe(step)
    result = StepResult([9])
    assert processor.judge(step, result) is result
    assert result.stops == {}
