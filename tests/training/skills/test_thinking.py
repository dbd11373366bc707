"""Thinking: steps that are right, and the answer that is given without them, too."""

from __future__ import annotations

import re

from tests.training.drawing import draws, question
from tests.training.skills.oracles import EQUATION, check_calculation, letters, order, value
from tests.training.skills.test_strings import letter_of, word_of
from training.chat_format import prompt_text
from training.examples import Example
from training.make_corpus import document_of

EXAMPLES = draws("thinking", 3_000)


def thought_of(example: Example) -> str:
    """What the example thinks, which is never nothing."""
    assert example.thought and example.thought == example.thought.strip(), example
    return example.thought


def test_every_step_of_a_calculation_is_right() -> None:
    num_steps = 0
    for example in EXAMPLES:
        for left, right in EQUATION.findall(thought_of(example)):
            num_steps += 1
            assert value(left) == (int(right) if right[0] == "-" else value(right)), example
    assert num_steps > 1_500


def test_every_calculation_ends_in_the_thoughts_result() -> None:
    num_checked = 0
    for example in EXAMPLES:
        if re.match(r"\d+ [-+*] \d+ = ", example.answer):
            num_checked += 1
            check_calculation(question(example), example.answer)
            result = example.answer.removesuffix(".").split(" = ")[-1]
            assert thought_of(example).endswith(f" {result}."), example
    assert num_checked > 700


def test_digits_are_those_of_the_numbers() -> None:
    for example in EXAMPLES:
        ones = re.search(r"Ones: (?:borrow 1, )?(\d+) [-+] (\d) = ", thought_of(example))
        if ones:
            a, b = re.findall(r"\d+", example.answer)[:2]
            assert (int(ones[1]) % 10, ones[2]) == (int(a[-1]), b[-1]), example


def test_comparisons_and_letters_are_right() -> None:
    num_comparisons = num_words = 0
    for example in EXAMPLES:
        asked = question(example)
        if re.search(r" is (larger|smaller) than ", example.answer):
            num_comparisons += 1
            assert order(asked, example.answer) == example.answer, example
        elif example.spelled:
            num_words += 1
            word = word_of(example.answer)
            assert letters(asked, word, letter_of(asked)) == example.answer, example
    assert min(num_comparisons, num_words) > 150


def test_letters_are_counted_one_by_one() -> None:
    num_counted = 0
    for example in EXAMPLES:
        counted = re.search(r": ((?:\w \d+(?:, )?)+)\.", thought_of(example))
        if counted and example.spelled:
            num_counted += 1
            word = word_of(example.answer)
            expected = ", ".join(f"{one} {place}" for place, one in enumerate(word, 1))
            assert counted[1] == expected, example
    assert num_counted > 100


def test_an_answer_is_the_same_with_and_without_thinking() -> None:
    plain: dict[str, str] = {}
    names = ["arithmetic", "sorting", "strings", "capitals", "greetings", "identity", "guide"]
    for name in names:
        for example in draws(name, 3_000):
            if example.messages:
                plain[question(example)] = example.answer
    common = [example for example in EXAMPLES if question(example) in plain]
    assert len(common) > 150
    assert all(plain[question(example)] == example.answer for example in common)


def test_the_prompt_begins_the_thought() -> None:
    assert all(prompt_text(document_of(one)).endswith("<think>\n") for one in EXAMPLES)
