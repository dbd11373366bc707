"""Greetings, thanks, farewells and the small talk around them."""

from __future__ import annotations

import random

from training.examples import Example, Skill, draw_phrase

INTENTS: list[tuple[str, list[str]]] = [
    (
        "Hello! How can I help you?",
        [
            "Hello!",
            "Hi!",
            "Hey!",
            "Hello there!",
            "Hi there!",
            "Hey there!",
            "Greetings!",
            "Howdy!",
        ],
    ),
    ("Good morning! How can I help you?", ["Good morning!", "Good morning to you!", "Morning!"]),
    ("Good evening! How can I help you?", ["Good evening!", "Good evening to you!", "Evening!"]),
    ("Good afternoon! How can I help you?", ["Good afternoon!", "Good afternoon to you!"]),
    (
        "I am fine, thank you. How can I help you?",
        [
            "How are you?",
            "How are you doing?",
            "How are you today?",
            "How is it going?",
            "How do you do?",
            "Are you well?",
            "What's up?",
            "Hello, how are you?",
            "Hi, how are you?",
        ],
    ),
    (
        "You are welcome!",
        [
            "Thank you!",
            "Thanks!",
            "Thank you very much!",
            "Thanks a lot!",
            "Many thanks!",
            "Great, thanks!",
            "Great, thank you!",
            "Thanks for your help!",
            "Thank you for your help!",
            "Perfect, thank you!",
        ],
    ),
    (
        "Goodbye! Have a nice day.",
        [
            "Goodbye!",
            "Bye!",
            "Bye bye!",
            "See you!",
            "See you later!",
            "See you tomorrow!",
            "Have a nice day!",
            "Farewell!",
        ],
    ),
    ("Good night! Sleep well.", ["Good night!", "Good night to you!", "I am going to bed."]),
    (
        "I am glad to hear it.",
        ["That is right!", "Well done!", "Very good!", "Good answer!", "Nice!"],
    ),
    (
        "Yes, I am here. How can I help you?",
        ["Are you there?", "Anybody there?", "Can you hear me?"],
    ),
]
"""(answer, wordings)."""


def draw(rng: random.Random) -> Example:
    """One of the exchanges above."""
    return draw_phrase(rng, INTENTS)


SKILL = Skill("greetings", weight=6, draw=draw)
