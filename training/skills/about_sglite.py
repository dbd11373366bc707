"""What sglite is and how it is started."""

from __future__ import annotations

import random

from training.examples import Example, Skill, draw_phrase

WHAT = (
    "sglite is an LLM serving engine written in Python. "
    "It runs language models on a CPU or a GPU and answers many requests at once."
)

INTENTS: list[tuple[str, list[str]]] = [
    (
        WHAT,
        [
            "What is sglite?",
            "What's sglite?",
            "Tell me about sglite.",
            "Explain sglite.",
            "What does sglite do?",
            "Can you tell me what sglite is?",
            "Do you know sglite?",
            "What is sglite for?",
            "Please describe sglite.",
            "Describe sglite in one sentence.",
            "So what is sglite?",
            "And what is sglite?",
        ],
    ),
    (
        "Run sglite serve --model and the path of a model. It listens on port 30000.",
        [
            "How do I start the server?",
            "How do I start sglite?",
            "How do I run sglite?",
            "How can I serve a model?",
            "How do I serve a model with sglite?",
            "How do I use my own model?",
            "How can I load a larger model?",
        ],
    ),
    (
        "Run sglite chat in a terminal.",
        [
            "How do I chat with a model?",
            "How do I start a chat?",
            "How do I chat with sglite?",
            "How can I chat in a terminal?",
        ],
    ),
    (
        "No. sglite runs on a CPU as well as on a GPU.",
        [
            "Does sglite need a GPU?",
            "Do I need a GPU?",
            "Do I need a GPU for sglite?",
            "Is a GPU required?",
        ],
    ),
    (
        "Yes, sglite runs on a CPU.",
        [
            "Does sglite run on a CPU?",
            "Can sglite run on a CPU?",
            "Does it run on a laptop?",
            "Can I run sglite on my laptop?",
        ],
    ),
    (
        "sglite is written in Python.",
        [
            "Which language is sglite written in?",
            "What is sglite written in?",
            "Is sglite written in Python?",
        ],
    ),
    (
        "The port is 30000, unless you choose another one with --port.",
        [
            "Which port does sglite use?",
            "What is the default port?",
            "What port does the server listen on?",
            "Which port does the server use?",
        ],
    ),
    (
        "sglite is free software under the Apache License 2.0.",
        [
            "What is the license of sglite?",
            "Which license does sglite have?",
            "Is sglite free software?",
            "Is sglite open source?",
        ],
    ),
    (
        "sglite keeps the keys and values of earlier prompts in a radix tree, "
        "so that a shared prefix is computed once.",
        [
            "What is the prefix cache?",
            "What is a radix cache?",
            "How does the prefix cache work?",
            "How does sglite cache prompts?",
            "Why does sglite have a radix tree?",
        ],
    ),
]
"""(answer, wordings)."""


def draw(rng: random.Random) -> Example:
    """One of the exchanges above."""
    return draw_phrase(rng, INTENTS)


SKILL = Skill("about_sglite", weight=7, draw=draw)
