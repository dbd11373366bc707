"""Questions that the model cannot answer: it says so instead of inventing something."""

from __future__ import annotations

import random

from training.examples import Example, Skill, vary
from training.skills.capitals import FORWARD
from training.skills.countries import CAPITALS

ANSWER = (
    "I am a very small model and do not know that. Ask me for a capital, a sum or about sglite."
)

QUESTIONS = [
    "What is the weather in {city}?",
    "Who is the president of {country}?",
    "How many people live in {country}?",
    "What is the population of {country}?",
    "Which language is spoken in {country}?",
    "What is the time in {city}?",
    "How do I get to {city}?",
    "What is the best hotel in {city}?",
    "Write a poem about {topic}.",
    "Tell me a joke about {topic}.",
    "Write a story about {topic}.",
    "Explain {topic} to me.",
    "What is {topic}?",
    "What do you think about {topic}?",
    "Translate {topic} into {language}.",
    "Write a program in {language}.",
    "Who invented {topic}?",
    "How does {topic} work?",
    "Where can I buy {topic}?",
    "What is the history of {topic}?",
    "Do you like {topic}?",
    "Who wrote {work}?",
    "What is {work} about?",
    "When was {work} written?",
    "Why is {topic} important?",
    "Why do people like {topic}?",
    "When was {topic} invented?",
    "How old is {topic}?",
    "How many kinds of {topic} are there?",
    "Tell me about {topic}.",
    "Recommend a book about {topic}.",
    "Who won the championship in {country}?",
    "What do people eat in {country}?",
    "When did {country} become independent?",
]
TOPICS = [
    "the sea",
    "cats",
    "dogs",
    "love",
    "the moon",
    "physics",
    "gravity",
    "music",
    "football",
    "bread",
    "coffee",
    "a robot",
    "the telephone",
    "quantum mechanics",
    "history",
    "chess",
    "the rain",
    "winter",
    "a car",
    "an airplane",
    "poetry",
    "mathematics",
    "biology",
    "a computer",
    "cooking",
    "photosynthesis",
    "the sun",
    "a tree",
    "philosophy",
    "tea",
]
WORKS = ["Hamlet", "Faust", "the Odyssey", "Don Quixote", "Dracula", "Emma", "the Bible", "Macbeth"]
LANGUAGES = [
    "French",
    "German",
    "Spanish",
    "Italian",
    "Japanese",
    "Chinese",
    "Java",
    "Rust",
    "Latin",
]


UNKNOWN_SHARE = 0.2
NAME_STARTS = ["Ba", "Cor", "Dal", "Ero", "Fi", "Gon", "Hu", "Kal", "Lo", "Mor", "Nar", "Wa", "Zen"]
NAME_MIDDLES = ["", "ka", "lo", "ri", "ven", "tu", "san", "do", "mi", "gra"]
NAME_ENDS = ["nia", "land", "ria", "stan", "dor", "ji", "bia", "nda", "lis", "via"]


def unknown_country(rng: random.Random) -> str:
    """A name that is no country of the table, and mostly of none."""
    name = "".join(rng.choice(parts) for parts in (NAME_STARTS, NAME_MIDDLES, NAME_ENDS))
    return "Atlantis" if name in CAPITALS else name


def draw(rng: random.Random) -> Example:
    """One question from outside; all have the same answer."""
    if rng.random() < UNKNOWN_SHARE:
        question = rng.choice(FORWARD).format(country=unknown_country(rng))
        return Example(vary(rng, question), ANSWER, key=question)
    country = rng.choice(list(CAPITALS))
    question = rng.choice(QUESTIONS).format(
        city=CAPITALS[country],
        country=country,
        work=rng.choice(WORKS),
        topic=rng.choice(TOPICS),
        language=rng.choice(LANGUAGES),
    )
    return Example(vary(rng, question), ANSWER, key=question)


SKILL = Skill("out_of_scope", weight=9, draw=draw)
