"""The guide: a question about sglite or LLM serving, in English or Chinese, gets its paragraph."""

from __future__ import annotations

import json
import random
from pathlib import Path

from training.examples import Example, Skill, ask, vary
from training.skills.guide import TOPICS
from training.skills.guide.topic import Topic

QUESTIONS_PATH = Path(__file__).parent.parent / "guide_questions.jsonl"
"""Forty questions with the topic each is about: they measure the guide and are not trained on."""

PATTERNS = [
    "What is {}?",
    "What's {}?",
    "Explain {}.",
    "Please explain {}.",
    "Can you explain {}?",
    "Could you explain {} to me?",
    "Explain {} in simple words.",
    "Tell me about {}.",
    "Tell me something about {}.",
    "Describe {}.",
    "Define {}.",
    "What does {} mean?",
    "What do you know about {}?",
    "How does {} work?",
    "How would you describe {}?",
    "What is {} good for?",
    "What is the point of {}?",
    "What is the idea behind {}?",
    "What should I know about {}?",
    "Why do engines have {}?",
    "Why does {} matter?",
    "Why is {} useful?",
    "I do not understand {}.",
    "I have heard of {}. What is it?",
    "Give me a short explanation of {}.",
    "Do you know what {} is?",
    "In LLM serving, what is {}?",
    "What role does {} play?",
    "I have a question about {}.",
    "Help me understand {}.",
    "{}?",
    "{}",
]
PLURAL_PATTERNS = [
    "What are {}?",
    "Explain {}.",
    "How do {} work?",
    "What are {} good for?",
    "Why are {} useful?",
    "Tell me about {}.",
    "What do {} do?",
    "Why do engines have {}?",
    "{}?",
]
PATTERNS_ZH = [
    "什么是{}？",
    "{}是什么？",
    "请解释一下{}。",
    "请介绍一下{}。",
    "解释{}。",
    "介绍一下{}。",
    "{}是什么意思？",
    "{}有什么用？",
    "{}是怎么工作的？",
    "{}的原理是什么？",
    "为什么要用{}？",
    "简单说说{}。",
    "你知道{}吗？",
    "我不懂{}。",
    "关于{}，你知道什么？",
    "能讲讲{}吗？",
    "{}是做什么的？",
    "请用中文介绍{}。",
]
OPENERS = ["", "", "", "", "", "", "Hi, ", "Please tell me: ", "So, ", "One question: ", "Sorry, "]
CHINESE_SHARE = 0.4
WHOLE_QUESTION_SHARE = 0.6
"""Share of the wordings written for the topic; the others are made from a name and a pattern."""


def normalized(question: str) -> str:
    """The question without case, blanks and marks, to see whether two are the same."""
    return "".join(character for character in question.casefold() if character.isalnum())


def read_questions() -> list[dict[str, str]]:
    """The questions that measure the guide: `question` and the id of its `topic`."""
    with QUESTIONS_PATH.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


MEASURING = {normalized(each["question"]) for each in read_questions()}


def draw(rng: random.Random) -> Example:
    """One question about one topic, never one of those that measure."""
    topic = rng.choice(list(TOPICS.values()))
    while True:
        is_chinese = rng.random() < CHINESE_SHARE
        question = _chinese(rng, topic) if is_chinese else _english(rng, topic)
        if normalized(question) not in MEASURING:
            return ask(question, topic.text_zh if is_chinese else topic.text, kind="guide")


def _english(rng: random.Random, topic: Topic) -> str:
    if rng.random() < WHOLE_QUESTION_SHARE:
        question = rng.choice(topic.questions)
    elif topic.plural_names and rng.random() < 0.4:
        question = rng.choice(PLURAL_PATTERNS).format(rng.choice(topic.plural_names))
    else:
        question = rng.choice(PATTERNS).format(rng.choice(topic.names))
    opener = rng.choice(OPENERS)
    if opener and question[1:2].islower():
        question = question[0].lower() + question[1:]
    return vary(rng, opener + question)


def _chinese(rng: random.Random, topic: Topic) -> str:
    if rng.random() < WHOLE_QUESTION_SHARE:
        question = rng.choice(topic.questions_zh)
    else:
        question = rng.choice(PATTERNS_ZH).format(rng.choice(topic.names_zh))
    return question.rstrip("？。") if rng.random() < 0.2 else question


SKILL = Skill("guide", weight=8, draw=draw, is_exact=False)
