"""Arithmetic: every result is right, and a pair of numbers is held out in every wording."""

from __future__ import annotations

import re

import pytest

from tests.training.drawing import draws, question
from tests.training.skills.oracles import calculated, check_calculation, value
from training.examples import is_held_out
from training.skills.arithmetic import instance_key


def test_every_chat_answer_is_right() -> None:
    chats = [one for one in draws("arithmetic", 3_000) if one.messages]
    assert len(chats) > 1_500
    for example in chats:
        check_calculation(question(example), example.answer)


def test_every_text_is_continued_by_its_result() -> None:
    texts = [one for one in draws("arithmetic", 3_000) if one.text]
    assert len(texts) > 500
    for example in texts:
        asked = re.fullmatch(r"(\d+) ?([-+*]) ?(\d+) ?=", example.text)
        assert asked, example
        expected = calculated(int(asked[1]), asked[2], int(asked[3]))
        assert example.answer.startswith(" ") == example.text.endswith(" ="), example
        sides = example.answer.strip().removesuffix(".").split(" = ")
        assert sides[-1] == str(expected), example
        assert all(side == str(expected) or value(side) == expected for side in sides), example


def test_a_long_product_shows_tens_and_ones() -> None:
    for example in draws("arithmetic"):
        if " * " in example.answer and example.key:
            assert re.search(r"= \d*0 \+ \d+ = \d+\.$", example.answer), example


def test_a_pair_is_held_out_in_every_order_wording_and_as_text() -> None:
    sides: dict[tuple[str, int, int], set[bool]] = {}
    for name in ("arithmetic", "thinking"):
        for example in draws(name, 3_000):
            found = re.search(r"(\d+) ?([-+*]) ?(\d+) ?=", example.text or example.answer)
            if not found or not example.key:
                continue
            a, sign, b = int(found[1]), found[2], int(found[3])
            pair = (sign, a, b) if sign == "-" else (sign, min(a, b), max(a, b))
            sides.setdefault(pair, set()).add(is_held_out(example.key))
    assert len(sides) > 1_500
    assert sum(len(side) == 1 for side in sides.values()) == len(sides)
    assert any(side == {True} for side in sides.values())


@pytest.mark.parametrize(
    ("a", "b", "key"),
    [(3, 4, ""), (9, 9, ""), (12, 3, "3+12"), (3, 12, "3+12"), (40, 2, "2+40")],
)
def test_one_digit_sums_are_always_trained_on(a: int, b: int, key: str) -> None:
    assert instance_key("+", a, b) == key
    assert instance_key("-", 12, 3) != instance_key("-", 3, 12)


def test_small_and_large_numbers_and_every_sign_are_asked() -> None:
    answers = [one.answer for one in draws("arithmetic", 3_000) if one.messages]
    for sign in "+-*":
        assert sum(f" {sign} " in answer.split(" = ")[0] for answer in answers) > 400
    assert sum(answer.split(" = ")[-1].startswith("-") for answer in answers) > 10
