"""The guide: a question finds the one paragraph that is about it, in its own language."""

from __future__ import annotations

import random
import re

from tests.training.drawing import draws, question
from training.skills import guide_answers
from training.skills.guide import TOPICS
from training.skills.guide_answers import normalized, read_questions

EXAMPLES = draws("guide", 3_000)


def is_chinese(text: str) -> bool:
    return re.search(r"[\u4e00-\u9fff]", text) is not None


def test_an_answer_is_a_paragraph_in_the_language_of_the_question() -> None:
    english = {topic.text: topic for topic in TOPICS.values()}
    chinese = {topic.text_zh: topic for topic in TOPICS.values()}
    for example in EXAMPLES:
        known = chinese if is_chinese(question(example)) else english
        if is_chinese(question(example)) != is_chinese(example.answer):
            # A Chinese pattern may be left with nothing but an English name: "RoPE".
            known = english | chinese
        topic = known[example.answer]
        words = [*topic.names, *topic.plural_names, *topic.names_zh]
        asked = normalized(question(example))
        wordings = [*topic.questions, *topic.questions_zh]
        is_about = any(normalized(word) in asked for word in [*words, *wordings])
        assert is_about, example


def test_both_languages_are_asked_for_every_topic() -> None:
    answers = {example.answer for example in draws("guide", 6_000)}
    assert answers == {text for topic in TOPICS.values() for text in (topic.text, topic.text_zh)}


def test_measuring_questions_are_about_known_topics() -> None:
    questions = read_questions()
    assert len({each["question"] for each in questions}) == 40
    assert {each["topic"] for each in questions} <= set(TOPICS)
    assert len({each["topic"] for each in questions}) >= 30


def test_a_measuring_question_is_drawn_again() -> None:
    rng = random.Random(0)
    first = question(guide_answers.draw(rng))
    guide_answers.MEASURING.add(normalized(first))
    try:
        again = question(guide_answers.draw(random.Random(0)))
    finally:
        guide_answers.MEASURING.remove(normalized(first))
    assert normalized(again) != normalized(first)


def test_normalized_questions_ignore_case_blanks_and_marks() -> None:
    assert normalized("What is  KV-cache?") == normalized("what is kv cache")
    assert normalized("什么是 KV 缓存？") == normalized("什么是KV缓存")
