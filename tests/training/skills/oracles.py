"""What is right, worked out from the question alone and without the skills' own code."""

from __future__ import annotations

import re
from typing import Any

NUMBER = r"-?\d+(?:\.\d+)?"
_EXPRESSION = r"\d+(?: [-+*] \d+)*"
EQUATION = re.compile(rf"({_EXPRESSION}) = (-?{_EXPRESSION})")
"""Two sides of an equation in whole numbers."""

MINUS_WORDS = ("minus", "subtract", "take", "less than", "give away", "are left", "lost")
TIMES_WORDS = ("times", "multiply", "multiplied", "product", "boxes with", "bags of", "rows of")
REVERSED_WORDINGS = ("subtract {b} from {a}", "take {b} away from {a}", "{b} less than {a}")


def value(expression: str) -> int:
    """A chain of +, - and *, with * first, as in "3 + 4 * 5"."""
    total, sign = 0, 1
    for part in re.split(r" ([+-]) ", expression):
        if part in "+-":
            sign = 1 if part == "+" else -1
            continue
        product = 1
        for factor in part.split(" * "):
            product *= int(factor)
        total += sign * product
    return total


def calculation(question: str) -> tuple[int, str, int]:
    """The two numbers and the operation that a question asks for, in the order of the answer."""
    text = question.lower()
    first, second = (int(number) for number in re.findall(r"\d+", text))
    asked = re.search(r"\d\s*([-+*x×])\s*\d", text)
    if asked:
        sign = {"x": "*", "×": "*"}.get(asked[1], asked[1])
    elif any(word in text for word in MINUS_WORDS):
        sign = "-"
    else:
        sign = "*" if any(word in text for word in TIMES_WORDS) else "+"
    if any(form.format(a=second, b=first) in text for form in REVERSED_WORDINGS):
        first, second = second, first
    return first, sign, second


def calculated(a: int, sign: str, b: int) -> int:
    """The result."""
    return {"+": a + b, "-": a - b, "*": a * b}[sign]


def check_calculation(question: str, answer: str) -> None:
    """Asserts that the answer repeats the calculation and ends in its result."""
    a, sign, b = calculation(question)
    expected = calculated(a, sign, b)
    assert answer.startswith(f"{a} {sign} {b} = "), (question, answer)
    assert answer.endswith(f"= {expected}."), (question, answer)
    sides = answer.removesuffix(".").split(" = ")
    assert all(side == str(expected) or value(side) == expected for side in sides), answer


def order(question: str, answer: str) -> str:
    """The right answer to a question about order; `answer` tells items from the wording's words."""
    text = question.lower()
    items = _items(question, answer)
    if not items[0].isdigit():
        return "Sorted: " + ", ".join(sorted(items))
    numbers = [int(item) for item in items]
    if answer.startswith("Sorted"):
        words = ("descending", "largest to smallest", "high to low", "reverse")
        is_falling = any(word in text for word in words)
        return "Sorted: " + ", ".join(map(str, sorted(numbers, reverse=is_falling)))
    if re.match(r"is \d", text):
        a, b = numbers
        is_true = a < b if re.search("less|smaller|lower", text) else a > b
        relation = "equal to" if a == b else "greater than" if a > b else "less than"
        return f"{a} is {relation} {b}, so {'yes' if is_true else 'no'}."
    if re.search("largest|biggest|maximum", text):
        return f"The largest number is {max(numbers)}."
    if re.search("smallest|lowest|minimum", text):
        return f"The smallest number is {min(numbers)}."
    if re.search("larger|bigger|greater|more", text):
        return f"{max(numbers)} is larger than {min(numbers)}."
    return f"{min(numbers)} is smaller than {max(numbers)}."


_ORDER_WORDS = frozenset(
    "sort sorted these words word order from a to z in put alphabetical alphabetically can you and "
    "please the".split()
)


def _items(question: str, answer: str) -> list[str]:
    """The numbers of a question or, where there are none, its words that are not the wording's."""
    numbers = re.findall(r"\d+", question)
    if numbers:
        return numbers
    wording = _ORDER_WORDS - set(re.findall(r"[a-z]+", answer))
    words = dict.fromkeys(re.findall(r"[a-z]+", question.lower()))
    return [word for word in words if word not in wording]


def letters(question: str, word: str, letter: str) -> str:
    """The right answer to a question about a word's letters."""
    text, spelled = question.lower().replace(word, "..."), "-".join(word)
    if re.search("revers|backwards|around", text):
        return f"{spelled} backwards is {'-'.join(reversed(word))}: {''.join(reversed(word))}"
    if re.search("upper|capital", text):
        return word.upper()
    if re.search("lower|small", text):
        return word.lower()
    if re.search("first|begin|start", text):
        return f"{spelled} begins with {word[0]}."
    if re.search("last|end ", text):
        return f"{spelled} ends with {word[-1]}."
    if letter:
        num_times = sum(one == letter for one in word)
        times = "1 time" if num_times == 1 else f"{num_times} times"
        numbers = iter(range(1, num_times + 1))
        marked = "-".join(f"{one}({next(numbers)})" if one == letter else one for one in word)
        return f'{marked}: the letter "{letter}" occurs {times}.'
    if re.search("how many|count|how long|number of", text):
        return f"{spelled} has {len(word)} letters."
    return spelled


def fits(schema: dict[str, Any], argument: object) -> bool:
    """Whether an argument has the type that a tool's parameter asks for."""
    types: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "number": (int, float),
    }
    return isinstance(argument, types[schema["type"]]) and not isinstance(argument, bool)
