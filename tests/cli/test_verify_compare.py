import math

import pytest

from sglite.cli.verify_compare import (
    TOLERANCES,
    Ours,
    Tolerance,
    compare,
    count_matching,
    logit_error,
)
from sglite.request import TokenLogprobs
from tests.cli.fakes import FakeGeneration

TOLERANCE = Tolerance(logits=1e-4, tie=1e-4)
PROMPT = [5, 6]


class FakeScores:
    """Token 10 + position is the best at each position, by ``gaps.get(position, 1.0)``."""

    max_logit = 20.0

    def __init__(self, gaps=None):
        self.gaps = gaps or {}

    def best(self, position):
        return 10 + position, self.gaps.get(position, 1.0)

    def logprob(self, position, token_id):
        return -0.1 * position - 0.01 * token_id


def answer(output_ids, *, error=0.0, **values):
    scores = FakeScores()

    def at(position, token_id):
        return TokenLogprobs(
            token_id,
            scores.logprob(position, token_id) + error,
            top=((token_id + 1, scores.logprob(position, token_id + 1)),),
        )

    return FakeGeneration(
        text="",
        token_ids=output_ids,
        prompt_token_ids=PROMPT,
        prompt_logprobs=[TokenLogprobs(5, None), at(1, 6)],
        logprobs=[at(2 + index, token_id) for index, token_id in enumerate(output_ids)],
        **values,
    )


def verdict(output_ids, *, cached=None, gaps=None, error=0.0):
    ours = Ours(
        prompt_ids=PROMPT,
        cold=answer(output_ids, error=error),
        cached=answer(cached or output_ids, num_cached_tokens=1),
    )
    return compare(ours, FakeScores(gaps), TOLERANCE)


def test_equal_answers_hold():
    result = verdict([12, 13, 14])
    assert result.holds and result.note == ""
    assert (result.num_matching, result.num_compared, result.num_cached_tokens) == (3, 3, 1)
    assert result.logit_error < 1e-12


def test_wrong_token_is_a_mismatch_at_its_place():
    result = verdict([12, 99, 14])
    assert not result.holds
    assert (result.num_matching, result.num_compared) == (1, 3)
    assert result.note == "token 1 is 99, reference 13"


def test_comparison_ends_where_a_near_tie_changed_places():
    assert verdict([12, 13, 14], gaps={3: 5e-5}).num_compared == 3
    assert not verdict([12, 13, 99], gaps={3: 5e-5}).holds
    result = verdict([12, 99, 98], gaps={3: 5e-5})
    assert result.holds and result.num_compared == 1
    assert result.note == "tie after 1 tokens (5.0e-05)"


def test_tokens_may_differ_with_the_cache_from_a_tie_on_only():
    assert verdict([12, 13, 14], cached=[12, 7, 99], gaps={3: 0.0}).holds
    assert verdict([12, 99, 14], cached=[12, 7, 99], gaps={3: 0.0}).holds
    result = verdict([12, 13, 14], cached=[12, 7, 14])
    assert not result.holds and "with the prefix cached" in result.note


def test_logprob_beyond_the_tolerance_is_a_mismatch():
    assert verdict([12], error=1.9e-3).holds
    result = verdict([12], error=2.1e-3)
    assert not result.holds and math.isclose(result.logit_error, 2.1e-3 / 20, rel_tol=1e-6)


def test_top_logprobs_count_too():
    wrong = TokenLogprobs(5, FakeScores().logprob(3, 5), top=((6, 0.0),))
    assert logit_error([wrong], FakeScores(), first=3) == pytest.approx(0.36 / 20)


def test_no_output_matches_nothing():
    assert count_matching([], FakeScores(), 2, 1e-4) == (0, "")


def test_types_with_fewer_digits_are_compared_more_loosely():
    order = [TOLERANCES[name] for name in ("float32", "float16", "bfloat16")]
    assert sorted(order, key=lambda each: each.logits) == order
    assert sorted(order, key=lambda each: each.tie) == order
    assert order[0] == TOLERANCE
