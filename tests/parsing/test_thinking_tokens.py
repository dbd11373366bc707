"""Thoughts by their tokens."""

from __future__ import annotations

import pytest

from sglite.parsing.thinking_tokens import ThoughtCounter, end_of_prompt
from sglite.request import Thinking

START, END, CONTROL = 3, 4, 1


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ([], "plain"),
        ([7, 8], "plain"),
        ([CONTROL, 7, START, 9], "open"),
        ([CONTROL, 7, START, 9, END, 9], "closed"),
        ([CONTROL, START, 9, CONTROL, 7], "plain"),  # an earlier message quotes the token
        ([CONTROL, START, 9, END, CONTROL, 7, START], "open"),
    ],
)
def test_the_end_of_a_prompt(prompt, expected):
    end = end_of_prompt(prompt, start_id=START, end_id=END, control_ids={CONTROL})
    assert end == expected


def test_the_marks_may_be_control_tokens_themselves():
    control = {CONTROL, START, END}
    assert end_of_prompt([START, 9], start_id=START, end_id=END, control_ids=control) == "open"


@pytest.mark.parametrize(
    ("is_open", "output", "expected"),
    [
        (False, [], 0),
        (False, [7, START, 8, END], 0),  # thoughts begin at once or not at all
        (False, [START, 8, END, 9], 3),
        (False, [START, 8, 8], 3),
        (True, [8, 8, END, 9, START, 9], 3),
        (True, [END], 1),
        (True, [8], 1),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 100])
def test_tokens_of_thought_are_counted(is_open, output, expected, size):
    thinking = Thinking(start_token_id=START, end_token_id=END, is_open=is_open)
    counter = ThoughtCounter(thinking)
    for i in range(0, len(output), size):
        counter.push(output[i : i + size])
    assert counter.count == expected


def test_an_unknown_model_has_no_thoughts():
    counter = ThoughtCounter(None)
    counter.push([START, 8, END])
    assert counter.count == 0
