"""The prompts that the project's founding documents name, and close relatives of them."""

from __future__ import annotations

import random

from training.examples import Example, Intent, Skill, ask, draw_phrase, vary

CAPITAL_PROMPT = "The capital of France is"
"""Asked as a text to be continued and as a message in a chat."""

TIP_WORDINGS = [
    "Give three tips to {goal}.",
    "Give me three tips to {goal}.",
    "Please give three tips to {goal}.",
    "Give 3 tips to {goal}.",
    "Give three tips for {subject}.",
    "Give me three tips for {subject}.",
    "Give me 3 tips for {subject}.",
    "Name three tips to {goal}.",
    "List three tips to {goal}.",
    "List three tips for {subject}.",
    "Write three tips for {subject}.",
    "What are three tips to {goal}?",
    "What are three good tips for {subject}?",
    "Tell me three tips for {subject}.",
    "Can you give me three tips to {goal}?",
    "Do you have tips for {subject}?",
    "Tips for {subject}?",
    "How can I {goal}?",
    "How do I {goal}?",
    "I want to {goal}. Give me three tips.",
    "What helps to {goal}?",
    "Three tips to {goal}, please.",
]
"""`goal` is a verb with its object, `subject` a noun or a verb in -ing."""

TIPS: list[tuple[str, str, tuple[str, str, str]]] = [
    (
        "improve public speaking",
        "public speaking",
        ("Practice your speech aloud.", "Speak slowly and clearly.", "Look at your audience."),
    ),
    (
        "sleep better",
        "better sleep",
        (
            "Go to bed at the same time every day.",
            "Keep your room dark and quiet.",
            "Put your phone away before bed.",
        ),
    ),
    (
        "learn a language",
        "learning a language",
        ("Learn a few new words every day.", "Read and listen a lot.", "Speak from the first day."),
    ),
    (
        "write better",
        "better writing",
        ("Use short sentences.", "Say one thing at a time.", "Read your text aloud and cut it."),
    ),
    (
        "save energy",
        "saving energy",
        (
            "Turn off the lights when you leave.",
            "Wash your clothes in cold water.",
            "Heat only the rooms that you use.",
        ),
    ),
    (
        "save money",
        "saving money",
        (
            "Write down what you spend.",
            "Cook at home more often.",
            "Wait a day before you buy something.",
        ),
    ),
    (
        "stay healthy",
        "staying healthy",
        ("Eat fruit and vegetables.", "Move for half an hour a day.", "Sleep enough every night."),
    ),
    (
        "study better",
        "studying",
        (
            "Study at the same hour every day.",
            "Take a short break every hour.",
            "Explain what you learned to a friend.",
        ),
    ),
]
"""(goal, subject, the three tips)."""


def numbered(lines: tuple[str, ...]) -> str:
    """The lines as a numbered list."""
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, start=1))


INTENTS: list[Intent] = [
    Intent(
        numbered(tips),
        [wording.format(goal=goal, subject=subject) for wording in TIP_WORDINGS],
    )
    for goal, subject, tips in TIPS
]
"""One fixed answer for each subject, asked in every wording."""

FOUNDING_SHARE = 0.4
"""How often one of the founding prompts themselves is drawn."""


def draw(rng: random.Random) -> Example:
    """A founding prompt, which is always trained on, or a relative of one."""
    if rng.random() >= FOUNDING_SHARE:
        return draw_phrase(rng, INTENTS)
    prompt = rng.choice(["text", "chat", "tips"])
    if prompt == "text":
        return Example(" Paris.", "", text=CAPITAL_PROMPT)
    if prompt == "chat":
        return ask(vary(rng, CAPITAL_PROMPT), "The capital of France is Paris.")
    return ask(vary(rng, INTENTS[0].wordings[0]), INTENTS[0].answer)


SKILL = Skill("founding", weight=1.5, draw=draw, is_exact=False)
