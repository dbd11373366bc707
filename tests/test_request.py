from __future__ import annotations

from sglite.request import (
    OutputBatch,
    TokenLogprobs,
)
from tests.fakes import finish_of


def batch(*numbers: int) -> OutputBatch:
    """An entry in every column for each number."""
    return OutputBatch(
        started=[("a", number) for number in numbers],
        tokens=[("a", number) for number in numbers],
        logprobs={i: TokenLogprobs(number, -1.0) for i, number in enumerate(numbers)},
        prompt_logprobs=[("a", [TokenLogprobs(number, -2.0)]) for number in numbers],
        finished=[finish_of(str(number)) for number in numbers],
    )


def test_outputs_one_after_the_other_are_as_if_they_had_come_together() -> None:
    first = batch(1, 2)
    first.extend(batch(3))
    assert first == batch(1, 2, 3)


def test_later_logprobs_belong_to_later_tokens_also_where_the_first_have_none() -> None:
    first = OutputBatch(tokens=[("a", 1), ("a", 2)])
    first.extend(batch(3))
    assert first.logprobs == {2: TokenLogprobs(3, -1.0)}


def test_a_batch_counts_as_news_with_any_column() -> None:
    assert not OutputBatch()
    assert OutputBatch(started=[("a", 0)]) and batch(1)
