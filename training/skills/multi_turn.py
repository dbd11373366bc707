"""Questions that refer back: to what the user said, asked or got as an answer some turns ago."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from training.examples import (
    Example,
    Message,
    Skill,
    assistant,
    is_held_out,
    system,
    user,
    vary,
)
from training.skills import arithmetic, greetings, identity
from training.skills import tool_values as values
from training.skills.capitals import capital_answer
from training.skills.countries import COUNTRIES
from training.skills.words import draw_word

KIND = "multi_turn"

Turn = tuple[str, str]
"""A question of the user and the model's answer."""

NAMES = [
    *values.PEOPLE,
    *(
        "Adam Amir Anton Astrid Bela Bruno Carla Carlos Chen Daniel Diana Elena Elias Erik Fatima "
        "Fiona Frida George Hana Helen Ines Irene Isaac Jack Jana Jonas Joana Kate Kenji Kim Lena "
        "Liam Linda Luis Marco Mark Marta Mei Milan Mona Nadia Noah Nora Olga Olivia Omar Pablo "
        "Pedro Petra Priya Rachel Ravi Rita Robert Ruth Sara Simon Sofia Stefan Susan Tara Theo "
        "Thomas Tina Victor Yuki Zoe"
    ).split(),
]
"""What users are called."""

COLORS = "red blue green yellow orange purple brown black white gray pink gold silver".split()
ANIMALS = (
    "cat dog horse rabbit owl fox bear lion tiger elephant penguin dolphin eagle wolf turtle swan"
).split()
FOODS = "pizza pasta soup rice bread salad cheese chocolate cake fish".split()
SPORTS = "tennis football chess golf hockey rugby judo boxing rowing cycling".split()
PETS = "dog cat horse rabbit parrot hamster".split()
PET_NAMES = "Rex Luna Milo Bella Oscar Coco Simba Nala Rocky Daisy Max Lucky Ruby Toby".split()
JOBS = "teacher baker pilot doctor driver painter cook farmer nurse writer lawyer singer".split()


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a user says about themselves; `{}` is where its value stands."""

    id: str
    statements: list[str]
    reply: str
    questions: list[str]
    answer: str
    system_prompt: str
    draw: Callable[[random.Random], str]


def _favorite(what: str, choices: list[str]) -> Fact:
    return Fact(
        what,
        [f"My favorite {what} is {{}}.", f"{{}} is my favorite {what}."],
        f"I will remember that your favorite {what} is {{}}.",
        [
            f"What is my favorite {what}?",
            f"What's my favorite {what}?",
            f"Which {what} do I like best?",
            f"Do you remember my favorite {what}?",
            f"Tell me my favorite {what}.",
        ],
        f"Your favorite {what} is {{}}.",
        f"The user's favorite {what} is {{}}.",
        lambda rng: rng.choice(choices),
    )


def _draw_age(rng: random.Random) -> str:
    return str(rng.randint(10, 99))


NAME = Fact(
    "name",
    [
        "My name is {}.",
        "I am {}.",
        "I'm {}.",
        "Hello, my name is {}.",
        "Hi, I am {}.",
        "Call me {}.",
    ],
    "Nice to meet you, {}.",
    [
        "What is my name?",
        "What's my name?",
        "Do you know my name?",
        "Do you remember my name?",
        "Who am I?",
        "Tell me my name.",
        "So what is my name?",
    ],
    "Your name is {}.",
    "The user's name is {}.",
    lambda rng: rng.choice(NAMES),
)
FACTS: list[Fact] = [
    _favorite("color", COLORS),
    _favorite("animal", ANIMALS),
    _favorite("city", values.CITIES),
    _favorite("food", FOODS),
    _favorite("sport", SPORTS),
    _favorite("number", [str(number) for number in range(2, 100)]),
    Fact(
        "home",
        ["I live in {}.", "My home is in {}.", "I am from {}."],
        "I will remember that you live in {}.",
        ["Where do I live?", "Which city do I live in?", "Do you know where I live?"],
        "You live in {}.",
        "The user lives in {}.",
        lambda rng: rng.choice(values.CITIES),
    ),
    Fact(
        "age",
        ["I am {} years old.", "I'm {} years old.", "My age is {}."],
        "I will remember that you are {} years old.",
        ["How old am I?", "What is my age?", "Do you know how old I am?"],
        "You are {} years old.",
        "The user is {} years old.",
        _draw_age,
    ),
    Fact(
        "job",
        ["I work as a {}.", "I am a {}.", "My job is to be a {}."],
        "I will remember that you are a {}.",
        ["What is my job?", "What do I do for a living?", "What do I work as?"],
        "You are a {}.",
        "The user is a {}.",
        lambda rng: rng.choice(JOBS),
    ),
    *(
        Fact(
            pet,
            [
                f"My {pet} is called {{}}.",
                f"I have a {pet} called {{}}.",
                f"My {pet}'s name is {{}}.",
            ],
            f"I will remember that your {pet} is called {{}}.",
            [
                f"What is my {pet} called?",
                f"What is the name of my {pet}?",
                f"What is my {pet}'s name?",
            ],
            f"Your {pet} is called {{}}.",
            f"The user's {pet} is called {{}}.",
            lambda rng: rng.choice(PET_NAMES),
        )
        for pet in PETS
    ),
]
"""What else users tell."""

RECORDS: list[tuple[str, list[str], str, Callable[[random.Random], str]]] = [
    (
        "The secret word is {}.",
        ["What is the secret word?", "Tell me the secret word.", "Which word is secret?"],
        "The secret word is {}.",
        draw_word,
    ),
    (
        "The shop opens at {}.",
        ["When does the shop open?", "What time does the shop open?"],
        "The shop opens at {}.",
        values.clock_time,
    ),
    (
        "The meeting is at {}.",
        ["When is the meeting?", "What time is the meeting?", "At what time is the meeting?"],
        "The meeting is at {}.",
        values.clock_time,
    ),
    (
        "The room number is {}.",
        ["What is the room number?", "Which room number is it?", "Tell me the room number."],
        "The room number is {}.",
        lambda rng: str(rng.randint(10, 999)),
    ),
    (
        "Your name is {}.",
        ["What is your name?", "What's your name?", "Tell me your name."],
        "My name is {}.",
        lambda rng: rng.choice(NAMES),
    ),
]
"""System prompts that say something: prompt, questions, answer, what they say."""

UNKNOWN_SHARE = 0.08
"""Share of questions for a name that the user has not told."""
RECALL_WORDINGS = {
    "first": ["What was my first question?", "What did I ask first?", "Repeat my first question."],
    "last": ["What was my last question?", "What did I just ask?", "Repeat my last question."],
}
FOLLOW_UPS = [
    "And of {country}?",
    "And {country}?",
    "And the capital of {country}?",
    "What about {country}?",
    "And what about {country}?",
    "And for {country}?",
    "How about {country}?",
]


def _capital_turn(rng: random.Random) -> Turn:
    country = rng.choice(COUNTRIES)
    return f"What is the capital of {country.name}?", capital_answer(country)


def _trained_sum(rng: random.Random, highest: int = 198) -> tuple[int, int]:
    """Two numbers whose sum the model may have seen: an earlier turn must not give away others."""
    while True:
        a, b = arithmetic.draw_two_numbers(rng)
        if a + b <= highest and not is_held_out(arithmetic.instance_key("+", a, b)):
            return a, b


def _sum_turn(rng: random.Random, highest: int = 198) -> Turn:
    a, b = _trained_sum(rng, highest)
    return f"What is {a} + {b}?", f"{a} + {b} = {a + b}."


def _small_talk_turn(rng: random.Random) -> Turn:
    intent = rng.choice([*greetings.ENGLISH, *identity.ENGLISH[:3]])
    return intent.wordings[0], intent.answer


def draw_turns(rng: random.Random, count: int) -> list[Turn]:
    """Turns that have nothing to do with what is asked in the end."""
    draws = [_capital_turn, _sum_turn, _small_talk_turn]
    return [rng.choice(draws)(rng) for _ in range(count)]


def _converse(turns: list[Turn], question: str, prompt: str = "") -> tuple[Message, ...]:
    messages = [system(prompt)] if prompt else []
    for asked, answered in turns:
        messages += [user(asked), assistant(answered)]
    return (*messages, user(question))


def _begin(text: str) -> str:
    return text[0].upper() + text[1:]


def _told(rng: random.Random, fact: Fact, value: str) -> Turn:
    statement = _begin(rng.choice(fact.statements).format(value))
    if rng.random() < 0.15:
        statement = statement.removesuffix(".")
    return statement, fact.reply.format(value)


def _draw_fact(rng: random.Random) -> Example:
    """One or two facts that the user told, then a question for one of them, or the reply itself."""
    facts = [NAME, rng.choice(FACTS)] if rng.random() < 0.55 else rng.sample(FACTS, 2)
    rng.shuffle(facts)
    told = [(fact, fact.draw(rng)) for fact in facts[: rng.choice([1, 2, 2])]]
    key = "|".join(sorted(f"{fact.id}={value}" for fact, value in told))
    turns = [_told(rng, fact, value) for fact, value in told]
    if rng.random() < 0.2:
        statement, reply = turns.pop()
        turns += draw_turns(rng, rng.choice([0, 1]))
        return Example(reply, key, messages=_converse(turns, statement), kind=KIND)
    for turn in draw_turns(rng, rng.choice([0, 1, 1, 2])):
        turns.insert(rng.randint(0, len(turns)), turn)
    fact, value = rng.choice(told)
    question = vary(rng, rng.choice(fact.questions))
    answer = fact.answer.format(value)
    return Example(answer, key, messages=_converse(turns, question), kind=KIND)


def _draw_unknown(rng: random.Random) -> Example:
    """A question for something that the user never told."""
    fact = NAME if rng.random() < 0.5 else FACTS[rng.randint(0, 5)]
    turns = draw_turns(rng, rng.choice([0, 1, 2]))
    if rng.random() < 0.5:
        other = rng.choice([one for one in FACTS if one is not fact])
        turns.insert(rng.randint(0, len(turns)), _told(rng, other, other.draw(rng)))
    question = vary(rng, rng.choice(fact.questions[:2]))
    what = "name" if fact is NAME else f"favorite {fact.id}"
    answer = f"You have not told me your {what}."
    return Example(answer, "", messages=_converse(turns, question), kind=KIND)


def _draw_system_prompt(rng: random.Random) -> Example:
    """A system prompt that knows the answer."""
    if rng.random() < 0.5:
        fact = NAME if rng.random() < 0.5 else rng.choice(FACTS)
        prompt, questions, answer, draw_value = (
            fact.system_prompt,
            fact.questions,
            fact.answer,
            fact.draw,
        )
    else:
        prompt, questions, answer, draw_value = rng.choice(RECORDS)
    value = draw_value(rng)
    turns = draw_turns(rng, rng.choice([0, 0, 1, 2]))
    if "your name" in prompt.lower():
        turns = [turn for turn in turns if "name" not in turn[0] and "I am sglite" not in turn[1]]
    prompt = prompt.format(value)
    if rng.random() < 0.3:
        prompt = f"You are a helpful assistant. {prompt}"
    messages = _converse(turns, vary(rng, rng.choice(questions)), prompt)
    key = f"{prompt}|{turns[0][0]}" if turns else prompt
    return Example(answer.format(value), key, messages=messages, kind=KIND)


def _draw_capital_follow_up(rng: random.Random) -> Example:
    """A second capital, asked for by "And of Spain?"; the pair of countries is the instance."""
    first, second, *more = rng.sample(COUNTRIES, 3)
    turns = [(f"What is the capital of {first.name}?", capital_answer(first))]
    if rng.random() < 0.3:
        turns.append((f"And of {more[0].name}?", capital_answer(more[0])))
    if rng.random() < 0.3:
        turns.insert(0, _small_talk_turn(rng))
    question = rng.choice(FOLLOW_UPS).format(country=second.asked_name(rng))
    key = f"follow|{first.name}|{second.name}"
    messages = _converse(turns, vary(rng, question))
    return Example(capital_answer(second), key, messages=messages, kind=KIND)


def _draw_sum_follow_up(rng: random.Random) -> Example:
    """A sum to go on from, as in "Add 10 to that."; the second calculation is the instance."""
    a, b = _trained_sum(rng, highest=99)
    turns = [(f"What is {a} + {b}?", f"{a} + {b} = {a + b}.")]
    if rng.random() < 0.3:
        turns.insert(0, rng.choice([_capital_turn, _small_talk_turn])(rng))
    result = a + b
    share = rng.random()
    if share < 0.45:
        number, sign = rng.randint(1, 99), "+"
        wordings = ["Add {} to that.", "Now add {}.", "Plus {}?", "And plus {}?", "Add {}."]
    elif share < 0.85 or result < 10:
        number, sign = rng.randint(0, result), "-"
        wordings = ["Subtract {} from that.", "Now subtract {}.", "Minus {}?", "And minus {}?"]
    else:
        number, sign = rng.randint(2, 9), "*"
        wordings = ["Multiply that by {}.", "Now multiply by {}.", "Times {}?", "And times {}?"]
    question = vary(rng, rng.choice(wordings).format(number))
    answer = f"{result} {sign} {number} = {arithmetic.result_text(sign, result, number)}"
    key = arithmetic.instance_key(sign, result, number)
    return Example(answer, key, messages=_converse(turns, question), kind=KIND)


def _draw_recall(rng: random.Random) -> Example:
    """A question of the user's, or the last answer, to be repeated word by word."""
    turns = draw_turns(rng, rng.choice([1, 2, 2, 3]))
    which = rng.choice(["first", "last"])
    recalled = turns[0 if which == "first" else -1][0]
    question = vary(rng, rng.choice(RECALL_WORDINGS[which]))
    answer = f'Your {which} question was: "{recalled}"'
    key = f"recall|{which}|{recalled}"
    return Example(answer, key, messages=_converse(turns, question), kind=KIND)


_DRAWS = [
    (_draw_fact, 44),
    (_draw_unknown, 5),
    (_draw_system_prompt, 16),
    (_draw_capital_follow_up, 13),
    (_draw_sum_follow_up, 12),
    (_draw_recall, 10),
]


def draw(rng: random.Random) -> Example:
    """A conversation whose last question needs an earlier turn or the system prompt."""
    draw_one = rng.choices([one for one, _ in _DRAWS], [weight for _, weight in _DRAWS])[0]
    return draw_one(rng)


SKILL = Skill("multi_turn", weight=4, draw=draw)
