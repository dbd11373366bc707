"""Extraction: valid JSON with the asked keys, whose values stand in the text."""

from __future__ import annotations

import json
import re

from tests.training.drawing import draws
from training.skills.json_extraction import KINDS

EXAMPLES = draws("json_extraction", 3_000)


def test_every_answer_is_one_object_with_the_asked_keys() -> None:
    for example in EXAMPLES:
        found = json.loads(example.answer)
        assert found and isinstance(found, dict)
        assert json.dumps(found, ensure_ascii=False) == example.answer
        request = "\n".join(each["content"] for each in example.messages)
        asked = ", ".join(found)
        listed = re.sub(r'"(\w+)"', r"\1", request).replace(" and ", ", ")
        assert asked in listed, example


def test_every_value_stands_in_the_text() -> None:
    types = set()
    for example in EXAMPLES:
        text = "\n".join(each["content"] for each in example.messages)
        for found in json.loads(example.answer).values():
            types.add(type(found))
            assert re.search(rf"(?<!\w){re.escape(str(found))}(?!\w)", text), example
    assert types == {str, int, float}


def test_patterns_mention_fields_of_their_records() -> None:
    for kind in KINDS:
        assert len(kind.patterns) == len(set(kind.patterns))
    names = {example.key.split("|")[0] for example in EXAMPLES}
    assert names == {kind.name for kind in KINDS}


def test_the_instance_does_not_depend_on_the_wording_of_the_request() -> None:
    for example in EXAMPLES:
        values = example.key.split("|")[1:]
        assert all(str(found) in values for found in json.loads(example.answer).values()), example


def test_some_requests_stand_in_the_system_prompt() -> None:
    num_systems = sum(example.messages[0]["role"] == "system" for example in EXAMPLES)
    assert 0.04 < num_systems / len(EXAMPLES) < 0.12
