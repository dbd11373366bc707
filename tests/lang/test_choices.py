"""The three ways to decide between choices, on numbers that tell them apart."""

from __future__ import annotations

import pytest

from sglite import lang
from sglite.lang.choices import ChoiceScores

CHOICES = ("short", "a long one", "common")
LOGPROBS = [[-2.0], [-1.0, -1.2, -3.0, -0.4], [-1.0, -1.5]]


def test_the_default_takes_the_best_average_per_token():
    decision = lang.token_length_normalized(ChoiceScores(CHOICES, LOGPROBS))
    assert decision.choice == "common"
    assert decision.meta_info["normalized_prompt_logprobs"] == pytest.approx([-2.0, -1.4, -1.25])
    assert decision.meta_info["input_token_logprobs"] == LOGPROBS


def test_greedy_goes_token_by_token():
    decision = lang.greedy_token_selection(ChoiceScores(CHOICES, LOGPROBS))
    assert decision.choice == "a long one", "-1.2 is better than -1.5 where the two part"


def test_a_choice_that_is_over_goes_on_with_its_average():
    scores = ChoiceScores(("no", "nothing"), [[-1.0], [-1.0, -0.5]])
    assert lang.greedy_token_selection(scores).choice == "nothing"
    scores = ChoiceScores(("no", "nothing"), [[-1.0], [-1.0, -1.5]])
    assert lang.greedy_token_selection(scores).choice == "no"


def test_unconditional_counts_what_the_prompt_adds():
    alone = [[0.0], [0.0, -4.0, -4.0, -4.0], [0.0, -0.1]]
    method = lang.unconditional_likelihood_normalized
    decision = method(ChoiceScores(CHOICES, LOGPROBS, alone))
    assert method.needs_unconditional
    assert decision.choice == "a long one"
    gains = decision.meta_info["normalized_unconditional_prompt_logprobs"]
    assert gains == pytest.approx([-2.0, 1.6, -1.2])


def test_the_first_of_equals_wins():
    scores = ChoiceScores(("a", "b"), [[-1.0], [-1.0]], [[0.0], [0.0]])
    for method in (
        lang.token_length_normalized,
        lang.greedy_token_selection,
        lang.unconditional_likelihood_normalized,
    ):
        assert method(scores).choice == "a"
