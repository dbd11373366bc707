"""The guide's topics: each has both languages, and no wording belongs to two of them."""

from __future__ import annotations

import re

import pytest

from training.skills.guide import (
    TOPICS,
    basics,
    memory,
    models,
    output,
    parallel,
    requests,
    sampling,
    speed,
    steps,
    usage,
)
from training.skills.guide.topic import Topic
from training.skills.guide_answers import PATTERNS, PATTERNS_ZH, PLURAL_PATTERNS, normalized

MODULES = (basics, memory, models, output, parallel, requests, sampling, speed, steps, usage)


def wordings(topic: Topic) -> set[str]:
    """Everything that may be asked about a topic, normalised."""
    return {
        normalized(text)
        for text in [
            *topic.questions,
            *topic.questions_zh,
            *(pattern.format(name) for pattern in PATTERNS for name in topic.names),
            *(pattern.format(name) for pattern in PLURAL_PATTERNS for name in topic.plural_names),
            *(pattern.format(name) for pattern in PATTERNS_ZH for name in topic.names_zh),
        ]
    }


def test_no_wording_belongs_to_two_topics() -> None:
    owners: dict[str, str] = {}
    for topic in TOPICS.values():
        for wording in wordings(topic):
            assert owners.setdefault(wording, topic.id) == topic.id, wording


def test_no_topic_hides_another_with_its_id() -> None:
    assert sum(len(module.TOPICS) for module in MODULES) == len(TOPICS) >= 60


def test_paragraphs_are_different() -> None:
    texts = [text for topic in TOPICS.values() for text in (topic.text, topic.text_zh)]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("topic", TOPICS.values(), ids=lambda topic: topic.id)
def test_a_topic_is_complete(topic: Topic) -> None:
    assert topic.names and topic.questions and topic.names_zh and topic.questions_zh
    assert topic.text.endswith(".") and topic.text_zh.endswith("。")
    assert not re.search(r"[\u4e00-\u9fff]", topic.text)
    assert re.search(r"[\u4e00-\u9fff]", topic.text_zh)
    assert 60 < len(topic.text) < 400
    assert len(topic.text_zh) < 200
    assert all(text == text.strip() and "  " not in text for text in (topic.text, topic.text_zh))
    assert all(name and not name.endswith(("?", ".")) for name in topic.names)
