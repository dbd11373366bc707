"""Letters of words: spelling, reversing, upper and lower case, counting, first and last letter.

Where an answer needs single letters, it spells the word first and reads the result off.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from training.examples import Example, Skill, user, vary
from training.skills.words import draw_pseudo_word, draw_word

KIND = "strings"
PSEUDO_SHARE = 1 / 3
QUOTE_FORMS = ['"{word}"', "'{word}'", "{word}"]
QUOTE_WEIGHTS = [65, 15, 20]
ALPHABET = "abcdefghijklmnopqrstuvwxyz"
OTHER_LETTER_SHARE = 0.15
"""Share of questions about a letter that is drawn from the whole alphabet."""

Answer = tuple[str, tuple[str, ...]]
"""An answer and what it writes letter by letter."""


def spell(word: str) -> str:
    """The letters with hyphens between: "p-l-a-n-e-t"."""
    return "-".join(word)


def _reversed(word: str, _letter: str) -> Answer:
    spelled, backwards = spell(word), spell(word[::-1])
    answer = f"{spelled} backwards is {backwards}: {word[::-1]}"
    return answer, (spelled, backwards, word[::-1])


def _spelled(word: str, _letter: str) -> Answer:
    return spell(word), (spell(word),)


def _upper(word: str, _letter: str) -> Answer:
    return word.upper(), (word.upper(),)


def _lower(word: str, _letter: str) -> Answer:
    return word, (word,)


def _num_letters(word: str, _letter: str) -> Answer:
    return f"{spell(word)} has {len(word)} letters.", (spell(word),)


def mark(word: str, letter: str) -> str:
    """The word spelled, with a letter's occurrences numbered: "m-o(1)-o(2)-n"."""
    marked, count = [], 0
    for one in word:
        count += one == letter
        marked.append(f"{one}({count})" if one == letter else one)
    return "-".join(marked)


def _num_occurrences(word: str, letter: str) -> Answer:
    count, marked = word.count(letter), mark(word, letter)
    times = "1 time" if count == 1 else f"{count} times"
    return f'{marked}: the letter "{letter}" occurs {times}.', (marked,)


def _first(word: str, _letter: str) -> Answer:
    return f"{spell(word)} begins with {word[0]}.", (spell(word),)


def _last(word: str, _letter: str) -> Answer:
    return f"{spell(word)} ends with {word[-1]}.", (spell(word),)


@dataclass(frozen=True, slots=True)
class Operation:
    """What is asked of a word: its share of the draws, its answer and its wordings."""

    name: str
    weight: float
    answer: Callable[[str, str], Answer]
    wordings: list[str]


OPERATIONS = [
    Operation(
        "reverse",
        3.0,
        _reversed,
        [
            "Reverse {word}.",
            "Reverse the word {word}.",
            "Reverse the letters of {word}.",
            "Reverse this word: {bare}",
            "Reverse: {bare}",
            "Write {word} backwards.",
            "Can you write {word} backwards?",
            "Please reverse {word}.",
            "What is {word} backwards?",
            "What is {word} reversed?",
            "Turn the word {word} around.",
            "Spell {word} backwards.",
        ],
    ),
    Operation(
        "spell",
        2.0,
        _spelled,
        [
            "Spell {word}.",
            "Spell the word {word}.",
            "Spell this word: {bare}",
            "Spell: {bare}",
            "How do you spell {word}?",
            "How is {word} spelled?",
            "Can you spell {word}?",
            "Please spell {word}.",
            "Spell {word} letter by letter.",
            "Write {word} letter by letter.",
            "Write the letters of {word} with hyphens between them.",
        ],
    ),
    Operation(
        "upper",
        2.0,
        _upper,
        [
            "Write {word} in capital letters.",
            "Write {word} in upper case.",
            "Write the word {word} in uppercase.",
            "Convert {word} to upper case.",
            "Convert {word} to uppercase.",
            "Uppercase: {bare}",
            "Upper case: {bare}",
            "Put {word} in capital letters.",
            "Make {word} uppercase.",
            "Change {word} to capital letters.",
            "What is {word} in upper case?",
            "Capitalize every letter of {word}.",
        ],
    ),
    Operation(
        "lower",
        1.5,
        _lower,
        [
            "Write {word} in small letters.",
            "Write {word} in lower case.",
            "Write the word {word} in lowercase.",
            "Convert {word} to lower case.",
            "Convert {word} to lowercase.",
            "Lowercase: {bare}",
            "Lower case: {bare}",
            "Put {word} in small letters.",
            "Make {word} lowercase.",
            "Change {word} to small letters.",
            "What is {word} in lower case?",
        ],
    ),
    Operation(
        "length",
        1.5,
        _num_letters,
        [
            "How many letters are in {word}?",
            "How many letters does {word} have?",
            "How many letters are there in the word {word}?",
            "Count the letters in {word}.",
            "Count the letters of the word {word}.",
            "How long is the word {word}?",
            "What is the number of letters in {word}?",
            "Number of letters in this word: {bare}",
            "How many letters has this word: {bare}",
        ],
    ),
    Operation(
        "occurrences",
        2.5,
        _num_occurrences,
        [
            'How often does the letter "{letter}" occur in {word}?',
            'How often does "{letter}" occur in {word}?',
            'How many times does the letter "{letter}" appear in {word}?',
            'How many times does "{letter}" appear in the word {word}?',
            "How many {letter}'s are in {word}?",
            "How many {letter}'s are there in {word}?",
            'How many letters "{letter}" are in {word}?',
            'Count the letter "{letter}" in {word}.',
            "Count the {letter}'s in {word}.",
            'How often is "{letter}" in this word: {bare}',
        ],
    ),
    Operation(
        "first",
        0.8,
        _first,
        [
            "What is the first letter of {word}?",
            "What's the first letter of the word {word}?",
            "Which letter does {word} begin with?",
            "What letter does {word} start with?",
            "Give me the first letter of {word}.",
            "First letter of {word}?",
            "First letter of this word: {bare}",
        ],
    ),
    Operation(
        "last",
        1.0,
        _last,
        [
            "What is the last letter of {word}?",
            "What's the last letter of the word {word}?",
            "Which letter does {word} end with?",
            "What letter does {word} end in?",
            "Give me the last letter of {word}.",
            "Last letter of {word}?",
            "Last letter of this word: {bare}",
        ],
    ),
]
OPERATION_WEIGHTS = [operation.weight for operation in OPERATIONS]


def draw_letter(rng: random.Random, word: str) -> str:
    """A letter to count, often one that occurs more than once."""
    if rng.random() < OTHER_LETTER_SHARE:
        return rng.choice(ALPHABET)
    repeated = [letter for letter in word if word.count(letter) > 1]
    return rng.choice(repeated if repeated and rng.random() < 0.7 else word)


def as_asked(rng: random.Random, operation: Operation, word: str) -> str:
    """The word as it stands in the question: capitals where they are to be made small."""
    if operation.name != "lower":
        return word
    return word.upper() if rng.random() < 0.8 else word.capitalize()


def draw(rng: random.Random) -> Example:
    """One question about one word; held out are operations on common words."""
    operation = rng.choices(OPERATIONS, OPERATION_WEIGHTS)[0]
    is_pseudo = rng.random() < PSEUDO_SHARE
    word = draw_pseudo_word(rng) if is_pseudo else draw_word(rng)
    letter = draw_letter(rng, word) if operation.name == "occurrences" else ""
    key = "" if is_pseudo else f"{operation.name}|{word}|{letter}"
    asked = as_asked(rng, operation, word)
    quoted = rng.choices(QUOTE_FORMS, QUOTE_WEIGHTS)[0].format(word=asked)
    wording = vary(rng, rng.choice(operation.wordings))
    question = wording.format(word=quoted, bare=asked, letter=letter)
    answer, spelled = operation.answer(word, letter)
    return Example(answer, key, messages=(user(question),), kind=KIND, spelled=spelled)


SKILL = Skill("strings", weight=16, draw=draw)
