"""Order: sorting numbers and words, the larger of two, the largest of a list, yes-or-no."""

from __future__ import annotations

import random

from training.examples import Example, Skill, ask, vary
from training.skills.words import draw_word

KIND = "sorting"
DISTINCT_FIRST_LETTERS_SHARE = 0.9
EQUAL_SHARE = 0.04
TASKS = ["numbers", "words", "larger of two", "extreme of a list", "comparison"]
TASK_WEIGHTS = [32, 32, 12, 14, 10]

ASCENDING = [
    "Sort these numbers: {items}",
    "Sort {items}.",
    "Sort: {items}",
    "Sort the numbers {items}.",
    "Sort these numbers in ascending order: {items}",
    "Sort in ascending order: {items}",
    "Sort from smallest to largest: {items}",
    "Put these numbers in order: {items}",
    "Can you sort {items}?",
    "Order these numbers from low to high: {items}",
    "Please sort {items} in ascending order.",
]
DESCENDING = [
    "Sort these numbers in descending order: {items}",
    "Sort in descending order: {items}",
    "Sort {items} in descending order.",
    "Sort from largest to smallest: {items}",
    "Sort these numbers from largest to smallest: {items}",
    "Order these numbers from high to low: {items}",
    "Please sort {items} in descending order.",
    "Sort in reverse order: {items}",
    "Can you sort {items} from largest to smallest?",
]
ALPHABETICAL = [
    "Sort these words: {items}",
    "Sort {items}.",
    "Sort: {items}",
    "Sort alphabetically: {items}",
    "Sort these words alphabetically: {items}",
    "Sort these words in alphabetical order: {items}",
    "Put these words in alphabetical order: {items}",
    "Put {items} in alphabetical order.",
    "Can you sort {items} alphabetically?",
    "Order these words from a to z: {items}",
]
LARGER = [
    "Which is larger, {a} or {b}?",
    "Which number is larger, {a} or {b}?",
    "Which is bigger, {a} or {b}?",
    "Which is greater: {a} or {b}?",
    "Which is more, {a} or {b}?",
    "What is larger, {a} or {b}?",
    "Tell me the larger number: {a} or {b}.",
]
SMALLER = [
    "Which is smaller, {a} or {b}?",
    "Which number is smaller, {a} or {b}?",
    "Which is less, {a} or {b}?",
    "Which is smaller: {a} or {b}?",
    "What is smaller, {a} or {b}?",
    "Tell me the smaller number: {a} or {b}.",
]
LARGEST = [
    "What is the largest of {items}?",
    "Which is the largest: {items}?",
    "Which number is the largest: {items}?",
    "Find the largest number: {items}",
    "What is the biggest number in {items}?",
    "What is the maximum of {items}?",
    "Which of these numbers is the largest? {items}",
]
SMALLEST = [
    "What is the smallest of {items}?",
    "Which is the smallest: {items}?",
    "Which number is the smallest: {items}?",
    "Find the smallest number: {items}",
    "What is the lowest number in {items}?",
    "What is the minimum of {items}?",
    "Which of these numbers is the smallest? {items}",
]
GREATER_QUESTIONS = [
    "Is {a} greater than {b}?",
    "Is {a} larger than {b}?",
    "Is {a} bigger than {b}?",
    "Is {a} more than {b}?",
]
LESS_QUESTIONS = ["Is {a} less than {b}?", "Is {a} smaller than {b}?", "Is {a} lower than {b}?"]


def draw_numbers(rng: random.Random, count: int) -> list[int]:
    """`count` different numbers below a hundred, most of two digits."""
    lowest = 0 if rng.random() < 0.3 else 10
    return rng.sample(range(lowest, 100), count)


def draw_words(rng: random.Random, count: int) -> list[str]:
    """`count` different common words, mostly with different first letters."""
    is_easy = rng.random() < DISTINCT_FIRST_LETTERS_SHARE
    words: list[str] = []
    while len(words) < count:
        word = draw_word(rng)
        known = [other[0] if is_easy else other for other in words]
        if (word[0] if is_easy else word) not in known:
            words.append(word)
    return words


def listed(rng: random.Random, items: list[str]) -> str:
    """The items with commas, sometimes with "and" or only spaces between."""
    style = rng.random()
    if style < 0.75:
        return ", ".join(items)
    if style < 0.9:
        return f"{', '.join(items[:-1])} and {items[-1]}"
    return " ".join(items)


def instance_key(operation: str, items: list[int] | list[str]) -> str:
    """The instance, whatever the order in which its items are asked about."""
    return f"{operation}|{','.join(str(item) for item in sorted(items))}"


def _sort_numbers(rng: random.Random) -> Example:
    numbers = draw_numbers(rng, rng.choice([3, 3, 4, 4, 5]))
    is_descending = rng.random() < 0.45
    wording = rng.choice(DESCENDING if is_descending else ASCENDING)
    question = wording.format(items=listed(rng, [str(number) for number in numbers]))
    in_order = sorted(numbers, reverse=is_descending)
    key = instance_key("descending" if is_descending else "ascending", numbers)
    answer = f"Sorted: {', '.join(str(number) for number in in_order)}"
    return ask(vary(rng, question), answer, key=key, kind=KIND)


def _sort_words(rng: random.Random) -> Example:
    words = draw_words(rng, rng.choice([3, 3, 4]))
    question = rng.choice(ALPHABETICAL).format(items=listed(rng, words))
    answer = f"Sorted: {', '.join(sorted(words))}"
    return ask(vary(rng, question), answer, key=instance_key("words", words), kind=KIND)


def _larger_of_two(rng: random.Random) -> Example:
    a, b = draw_numbers(rng, 2)
    is_larger = rng.random() < 0.5
    question = rng.choice(LARGER if is_larger else SMALLER).format(a=a, b=b)
    low, high = min(a, b), max(a, b)
    answer = f"{high} is larger than {low}." if is_larger else f"{low} is smaller than {high}."
    key = instance_key("larger" if is_larger else "smaller", [a, b])
    return ask(vary(rng, question), answer, key=key, kind=KIND)


def _extreme_of_list(rng: random.Random) -> Example:
    numbers = draw_numbers(rng, rng.choice([3, 3, 4, 5]))
    is_largest = rng.random() < 0.5
    wording = rng.choice(LARGEST if is_largest else SMALLEST)
    question = wording.format(items=listed(rng, [str(number) for number in numbers]))
    operation = "largest" if is_largest else "smallest"
    number = max(numbers) if is_largest else min(numbers)
    answer = f"The {operation} number is {number}."
    return ask(vary(rng, question), answer, key=instance_key(operation, numbers), kind=KIND)


def _comparison(rng: random.Random) -> Example:
    a, b = draw_numbers(rng, 2)
    if rng.random() < EQUAL_SHARE:
        b = a
    is_greater = rng.random() < 0.5
    question = rng.choice(GREATER_QUESTIONS if is_greater else LESS_QUESTIONS).format(a=a, b=b)
    relation = "equal to" if a == b else "greater than" if a > b else "less than"
    is_true = a > b if is_greater else a < b
    answer = f"{a} is {relation} {b}, so {'yes' if is_true else 'no'}."
    return ask(vary(rng, question), answer, key=instance_key("compare", [a, b]), kind=KIND)


def draw(rng: random.Random) -> Example:
    """One list to sort or one question about order."""
    task = rng.choices(TASKS, TASK_WEIGHTS)[0]
    if task == "numbers":
        return _sort_numbers(rng)
    if task == "words":
        return _sort_words(rng)
    if task == "larger of two":
        return _larger_of_two(rng)
    if task == "extreme of a list":
        return _extreme_of_list(rng)
    return _comparison(rng)


SKILL = Skill("sorting", weight=22, draw=draw)
