"""Which choice a model prefers: log-probabilities to a decision, by one of SGLang's three methods.

A choice is scored as the continuation of a prompt. ``logprobs`` is one list per choice with the
natural log of each of its tokens' probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Logprobs = Sequence[Sequence[float]]


class ChoiceScores(NamedTuple):
    """What is known of the choices.

    ``logprobs`` are those after the prompt. ``unconditional`` are those of the same tokens alone,
    0 for the first, which has nothing to follow; None where the method does not ask for them.
    """

    choices: tuple[str, ...]
    logprobs: Logprobs
    unconditional: Logprobs | None = None


class Decision(NamedTuple):
    """The choice, and what it was decided by."""

    choice: str
    meta_info: dict[str, Any]


class ChoicesMethod(NamedTuple):
    """A way to decide; ``decide`` gives the index of a choice and its reasons."""

    name: str
    decide: Callable[[ChoiceScores], tuple[int, dict[str, Any]]]
    needs_unconditional: bool = False

    def __call__(self, scores: ChoiceScores) -> Decision:
        """Decide. The first of equals wins."""
        index, reasons = self.decide(scores)
        shown = {
            "choices_method": self.name,
            "normalized_prompt_logprobs": [mean(each) for each in scores.logprobs],
            "input_token_logprobs": [list(each) for each in scores.logprobs],
        }
        return Decision(scores.choices[index], shown | reasons)


def mean(values: Sequence[float]) -> float:
    """The average of at least one value."""
    return sum(values) / len(values)


def _by_mean(scores: ChoiceScores) -> tuple[int, dict[str, Any]]:
    return _argmax([mean(each) for each in scores.logprobs]), {}


def _by_first_difference(scores: ChoiceScores) -> tuple[int, dict[str, Any]]:
    """Token by token, keep the choices that are likeliest; a choice that is over goes on with its
    average, so that a short one can be compared with a longer one that begins alike.
    """
    longest = max(map(len, scores.logprobs))
    rows = [list(each) + [mean(each)] * (longest - len(each)) for each in scores.logprobs]
    left = list(range(len(rows)))
    for place in range(longest):
        best = max(rows[index][place] for index in left)
        left = [index for index in left if rows[index][place] == best]
    return left[0], {"greedy_logprob_matrix": rows}


def _by_gain(scores: ChoiceScores) -> tuple[int, dict[str, Any]]:
    """How much likelier the prompt makes each choice, per token."""
    assert scores.unconditional is not None, "the method needs unconditional log-probabilities"
    gains = [
        mean([after - alone for after, alone in zip(*pair, strict=True)])
        for pair in zip(scores.logprobs, scores.unconditional, strict=True)
    ]
    reasons = {
        "unconditional_token_logprobs": [list(each) for each in scores.unconditional],
        "normalized_unconditional_prompt_logprobs": gains,
    }
    return _argmax(gains), reasons


def _argmax(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda index: (values[index], -index))


token_length_normalized = ChoicesMethod("token_length_normalized", _by_mean)
"""The highest average log-probability per token: SGLang's default."""

greedy_token_selection = ChoicesMethod("greedy_token_selection", _by_first_difference)
"""The choice that greedy decoding among the choices would end with."""

unconditional_likelihood_normalized = ChoicesMethod(
    "unconditional_likelihood_normalized", _by_gain, needs_unconditional=True
)
"""The choice that the prompt makes most likelier, so that common words do not win by themselves."""
