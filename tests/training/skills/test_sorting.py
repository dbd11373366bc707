"""Order: every answer is worked out again from its question."""

from __future__ import annotations

from collections import Counter

from tests.training.drawing import draws, question
from tests.training.skills.oracles import order
from training.examples import is_held_out


def test_every_answer_is_right() -> None:
    starts: Counter[str] = Counter()
    for example in draws("sorting", 3_000):
        assert order(question(example), example.answer) == example.answer, example
        words = example.answer.split()
        starts[words[-1] if words[-2] == "so" else words[0]] += 1
    assert {"Sorted:", "The", "yes.", "no."} < set(starts)


def test_a_list_is_held_out_in_every_order() -> None:
    sides: dict[tuple[str, bool], set[bool]] = {}
    for example in draws("sorting", 3_000):
        if example.answer.startswith("Sorted"):
            is_falling = "descending" in example.key
            sides.setdefault((example.answer, is_falling), set()).add(is_held_out(example.key))
    assert all(len(side) == 1 for side in sides.values())
