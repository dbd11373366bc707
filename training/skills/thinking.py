"""Thinking: a short block that does the steps, then the answer that is given without it, too."""

from __future__ import annotations

import random

from training.examples import Example, Skill, ask, draw_phrase, user, vary
from training.skills import arithmetic, capitals, greetings, identity, sorting, strings
from training.skills.countries import COUNTRIES, begin, sentence
from training.skills.guide import TOPICS
from training.skills.words import draw_pseudo_word, draw_word

KIND = "thinking"
PSEUDO_SHARE = 0.25


def _steps_of_sum(a: int, b: int) -> str:
    if max(a, b) < 10:
        return f"{a} + {b} = {a + b}."
    ones = a % 10 + b % 10
    tens, more_tens, carry = a // 10, b // 10, ones // 10
    carried = f", write {ones % 10}, carry 1" if carry else ""
    with_carry = " + 1" if carry else ""
    return (
        f"Ones: {a % 10} + {b % 10} = {ones}{carried}.\n"
        f"Tens: {tens} + {more_tens}{with_carry} = {tens + more_tens + carry}.\n"
        f"The result is {a + b}."
    )


def _steps_of_difference(a: int, b: int) -> str:
    if a < b:
        return f"{a} is less than {b}.\n{b} - {a} = {b - a}.\nThe result is -{b - a}."
    if a < 10:
        return f"{a} - {b} = {a - b}."
    borrow = 1 if a % 10 < b % 10 else 0
    borrowed = "borrow 1, " if borrow else ""
    with_borrow = " - 1" if borrow else ""
    return (
        f"Ones: {borrowed}{a % 10 + 10 * borrow} - {b % 10} = {(a - b) % 10}.\n"
        f"Tens: {a // 10} - {b // 10}{with_borrow} = {(a - b) // 10}.\n"
        f"The result is {a - b}."
    )


def _steps_of_product(a: int, b: int) -> str:
    if max(a, b) < 10:
        return f"{a} * {b} = {a * b}."
    long, digit = max(a, b), min(a, b)
    tens, ones = long // 10 * 10, long % 10
    return (
        f"{long} = {tens} + {ones}.\n"
        f"{tens} * {digit} = {tens * digit} and {ones} * {digit} = {ones * digit}.\n"
        f"{tens * digit} + {ones * digit} = {a * b}."
    )


_STEPS = {"+": _steps_of_sum, "-": _steps_of_difference, "*": _steps_of_product}


def _draw_arithmetic(rng: random.Random) -> Example:
    operation = rng.choices(arithmetic.OPERATIONS, arithmetic.OPERATION_WEIGHTS)[0]
    a, b = operation.draw_operands(rng)
    sign = operation.sign
    question = arithmetic.draw_question(rng, operation, a, b)
    answer = f"{a} {sign} {b} = {arithmetic.result_text(sign, a, b)}"
    return _think(
        ask(question, answer, key=arithmetic.instance_key(sign, a, b)), _STEPS[sign](a, b)
    )


def _steps_of_comparison(a: int, b: int, relation: str) -> str:
    if len(str(a)) != len(str(b)):
        long, short = max(a, b), min(a, b)
        return f"{long} has two digits and {short} has one."
    lines = []
    places = ["Tens", "Ones"][-len(str(a)) :]
    for place, digit, other in zip(places, str(a), str(b), strict=True):
        if digit == other:
            lines.append(f"{place}: {digit} and {other}, the same.")
            continue
        chosen = max(digit, other) if relation == "larger" else min(digit, other)
        lines.append(f"{place}: {digit} and {other}, {chosen} is {relation}.")
        break
    return "\n".join(lines)


def _draw_comparison(rng: random.Random) -> Example:
    a, b = sorting.draw_numbers(rng, 2)
    relation = rng.choice(["larger", "smaller"])
    wordings = sorting.LARGER if relation == "larger" else sorting.SMALLER
    chosen, other = (max(a, b), min(a, b)) if relation == "larger" else (min(a, b), max(a, b))
    question = vary(rng, rng.choice(wordings).format(a=a, b=b))
    key = sorting.instance_key(relation, [a, b])
    example = ask(question, f"{chosen} is {relation} than {other}.", key=key)
    return _think(example, _steps_of_comparison(a, b, relation))


def _steps_on_letters(name: str, word: str, letter: str) -> str:
    spelled = strings.spell(word)
    if name == "reverse":
        return f"The letters are {spelled}.\nBackwards they are {strings.spell(word[::-1])}."
    if name == "length":
        counted = ", ".join(f"{one} {place}" for place, one in enumerate(word, start=1))
        return f"I count the letters: {counted}."
    return f'I spell it, {spelled}, and count every "{letter}".'


def _draw_letters(rng: random.Random) -> Example:
    operations = [one for one in strings.OPERATIONS if one.name in _LETTER_OPERATIONS]
    operation = rng.choices(operations, [one.weight for one in operations])[0]
    is_pseudo = rng.random() < PSEUDO_SHARE
    word = draw_pseudo_word(rng) if is_pseudo else draw_word(rng)
    letter = strings.draw_letter(rng, word) if operation.name == "occurrences" else ""
    quoted = rng.choices(strings.QUOTE_FORMS, strings.QUOTE_WEIGHTS)[0].format(word=word)
    wording = vary(rng, rng.choice(operation.wordings))
    question = wording.format(word=quoted, bare=word, letter=letter)
    answer, spelled = operation.answer(word, letter)
    key = "" if is_pseudo else f"{operation.name}|{word}|{letter}"
    example = Example(answer, key, messages=(user(question),), spelled=spelled)
    return _think(example, _steps_on_letters(operation.name, word, letter))


_LETTER_OPERATIONS = ("reverse", "length", "occurrences")


def _draw_capital(rng: random.Random) -> Example:
    country = rng.choice(COUNTRIES)
    wording = rng.choice([*capitals.ALWAYS_TRAINED[:1], *capitals.WORDINGS])
    question = wording.format(country=country.asked_name(rng), possessive=country.possessive)
    key = "" if wording in capitals.ALWAYS_TRAINED else f"{country.name}|{wording}"
    example = ask(vary(rng, begin(question)), capitals.capital_answer(country), key=key)
    found = sentence(f"It is {country.capital}")
    return _think(example, f"The question is about the capital of {country.name}.\n{found}")


def _draw_small_talk(rng: random.Random) -> Example:
    is_greeting = rng.random() < 0.5
    example = draw_phrase(rng, greetings.INTENTS if is_greeting else identity.INTENTS)
    is_english = example.answer.isascii()
    if is_greeting:
        return _think(example, "This is small talk." if is_english else "这是闲聊。")
    return _think(example, "The question is about me." if is_english else "这个问题与我有关。")


def _draw_subject(rng: random.Random) -> Example:
    """A subject of the guide, in the plainest wording."""
    topic = rng.choice(list(TOPICS.values()))
    question = vary(rng, f"What is {topic.names[0]}?")
    return _think(ask(question, topic.text), f"The user asks what {topic.names[0]} is.")


def _think(example: Example, thought: str) -> Example:
    """The example with a thought before its answer."""
    return Example(
        example.answer,
        example.key,
        messages=example.messages,
        kind=KIND,
        thought=thought,
        spelled=example.spelled,
    )


_DRAWS = [
    (_draw_arithmetic, 40),
    (_draw_comparison, 12),
    (_draw_letters, 24),
    (_draw_capital, 12),
    (_draw_small_talk, 12),
    (_draw_subject, 8),
]


def draw(rng: random.Random) -> Example:
    """A question, the steps to its answer, and the answer."""
    draw_one = rng.choices([one for one, _ in _DRAWS], [weight for _, weight in _DRAWS])[0]
    return draw_one(rng)


SKILL = Skill("thinking", weight=14, draw=draw)
