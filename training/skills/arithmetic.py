"""Arithmetic below a hundred. The answer repeats the expression before the result.

A product of a two-digit number is written with its steps: "34 * 7 = 210 + 28 = 238." As text
without a chat, the same expressions are to be continued: "17 + 25 =" by " 42."
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from training.examples import Example, Skill, ask, vary

KIND = "arithmetic"
TEXT_SHARE = 0.25
"""Share of expressions that are continued as text, without a chat."""
TIGHT_SHARE = 0.15
"""Share of those texts that are written without spaces."""
STORY_SHARE = 0.12
SMALL_SHARE = 0.1
"""Share of pairs whose numbers are both below ten; the other pairs have a two-digit number."""
MIXED_SHARE = 0.15
"""Share of sums and differences of a two-digit and a one-digit number."""
NEGATIVE_SHARE = 0.06
THINGS = ["apples", "books", "coins", "stones", "cards", "pens", "tickets", "eggs", "cups", "keys"]

SYMBOL_WORDINGS = [
    "What is {a} {sign} {b}?",
    "What's {a} {sign} {b}?",
    "{a} {sign} {b}",
    "{a}{sign}{b}",
    "{a} {sign} {b} =",
    "{a} {sign} {b} = ?",
    "{a}{sign}{b}=?",
    "How much is {a} {sign} {b}?",
    "Calculate {a} {sign} {b}.",
    "Compute {a} {sign} {b}.",
    "Please calculate {a} {sign} {b}.",
    "Can you work out {a} {sign} {b}?",
    "What does {a} {sign} {b} equal?",
    "Solve {a} {sign} {b}.",
    "Tell me {a} {sign} {b}.",
]
"""Wordings for every operation; `a` stands before `b` in the answer."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation: its sign in answers, and how it is asked for.

    `spoken` are the words for the sign. `stories` are only asked of numbers that suit them: at
    least two things of each kind, and a difference above zero.
    """

    sign: str
    asked_signs: list[str]
    spoken: list[str]
    wordings: list[str]
    stories: list[str]
    draw_operands: Callable[[random.Random], tuple[int, int]]


def draw_two_numbers(rng: random.Random) -> tuple[int, int]:
    """Two numbers below a hundred in any order, mostly both of two digits."""
    share = rng.random()
    if share < SMALL_SHARE:
        return rng.randint(0, 9), rng.randint(0, 9)
    if share < SMALL_SHARE + MIXED_SHARE:
        first, second = rng.randint(10, 99), rng.randint(0, 9)
        return (first, second) if rng.random() < 0.7 else (second, first)
    return rng.randint(10, 99), rng.randint(10, 99)


def draw_difference(rng: random.Random) -> tuple[int, int]:
    """Two numbers to subtract; the result is seldom negative."""
    first, second = draw_two_numbers(rng)
    larger, smaller = max(first, second), min(first, second)
    return (smaller, larger) if rng.random() < NEGATIVE_SHARE else (larger, smaller)


def draw_product(rng: random.Random) -> tuple[int, int]:
    """A one-digit number and, mostly, a two-digit number, in any order."""
    first, second = rng.randint(10, 99), rng.randint(0, 9)
    if rng.random() < 2 * SMALL_SHARE:
        first = rng.randint(0, 9)
    return (first, second) if rng.random() < 0.6 else (second, first)


ADDITION = Operation(
    sign="+",
    asked_signs=["+"],
    spoken=["plus"],
    wordings=[
        "Add {a} and {b}.",
        "Can you add {a} and {b}?",
        "What is the sum of {a} and {b}?",
        "Please add {a} and {b}.",
        "What do {a} and {b} make together?",
    ],
    stories=[
        "I have {a} {things} and get {b} more. How many {things} do I have?",
        "There are {a} {things} in one box and {b} in another. How many {things} are there?",
        "Anna has {a} {things} and Tom has {b}. How many {things} do they have together?",
        "A shop sold {a} {things} on Monday and {b} on Tuesday. How many {things} was that?",
    ],
    draw_operands=draw_two_numbers,
)
SUBTRACTION = Operation(
    sign="-",
    asked_signs=["-"],
    spoken=["minus"],
    wordings=[
        "Subtract {b} from {a}.",
        "Please subtract {b} from {a}.",
        "Take {b} away from {a}.",
        "What is {b} less than {a}?",
        "What do I get when I subtract {b} from {a}?",
    ],
    stories=[
        "I have {a} {things} and give away {b}. How many {things} are left?",
        "There are {a} {things} on the table. Tom takes {b}. How many {things} are left?",
        "A shop has {a} {things} and sells {b}. How many {things} are left?",
        "Anna had {a} {things} and lost {b}. How many {things} does she have now?",
    ],
    draw_operands=draw_difference,
)
MULTIPLICATION = Operation(
    sign="*",
    asked_signs=["*", "*", "x", "×"],
    spoken=["times", "multiplied by"],
    wordings=[
        "Multiply {a} by {b}.",
        "Multiply {a} and {b}.",
        "Can you multiply {a} by {b}?",
        "What is the product of {a} and {b}?",
        "Please multiply {a} by {b}.",
    ],
    stories=[
        "There are {a} boxes with {b} {things} each. How many {things} are there?",
        "I buy {a} bags of {b} {things}. How many {things} do I have?",
        "How many {things} are in {a} rows of {b} {things}?",
    ],
    draw_operands=draw_product,
)
OPERATIONS = [ADDITION, SUBTRACTION, MULTIPLICATION]
OPERATION_WEIGHTS = [34, 36, 30]


def instance_key(sign: str, a: int, b: int) -> str:
    """The instance, whatever the order of a sum or product; one-digit pairs are always trained."""
    if max(a, b) < 10:
        return ""
    if sign == "-":
        return f"{a}-{b}"
    return f"{min(a, b)}{sign}{max(a, b)}"


def result_text(sign: str, a: int, b: int) -> str:
    """What stands after the first "=" of the answer; a long product shows tens and ones."""
    if sign == "+":
        return f"{a + b}."
    if sign == "-":
        return f"{a - b}."
    if max(a, b) < 10:
        return f"{a * b}."
    long, digit = max(a, b), min(a, b)
    return f"{long // 10 * 10 * digit} + {long % 10 * digit} = {a * b}."


def draw_question(rng: random.Random, operation: Operation, a: int, b: int) -> str:
    """One of many wordings that ask for `a` and `b` in this order."""
    fits_story = min(a, b) >= 2 and (operation.sign != "-" or a > b)
    if fits_story and rng.random() < STORY_SHARE:
        return rng.choice(operation.stories).format(a=a, b=b, things=rng.choice(THINGS))
    style = rng.random()
    if style < 0.3:
        return vary(rng, rng.choice(operation.wordings).format(a=a, b=b))
    wording = rng.choice(SYMBOL_WORDINGS)
    is_loose = "{a} {sign}" in wording
    signs = operation.spoken if style < 0.55 and is_loose else operation.asked_signs
    return vary(rng, wording.format(a=a, sign=rng.choice(signs), b=b))


def draw(rng: random.Random) -> Example:
    """A sum, difference or product; unseen pairs of numbers are what measures the skill."""
    operation = rng.choices(OPERATIONS, OPERATION_WEIGHTS)[0]
    a, b = operation.draw_operands(rng)
    key = instance_key(operation.sign, a, b)
    result = result_text(operation.sign, a, b)
    if rng.random() < TEXT_SHARE:
        if rng.random() < TIGHT_SHARE:
            return Example(result, key, text=f"{a}{operation.sign}{b}=", kind=KIND)
        return Example(f" {result}", key, text=f"{a} {operation.sign} {b} =", kind=KIND)
    answer = f"{a} {operation.sign} {b} = {result}"
    return ask(draw_question(rng, operation, a, b), answer, key=key, kind=KIND)


SKILL = Skill("arithmetic", weight=28, draw=draw)
