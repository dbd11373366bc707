"""The corpus: reproducible, complete, and honest about what is held out."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from sglite.evaluation.instances import read_questions
from tests.training.drawing import CHAT_TURN
from tests.training.test_examples import EXACT_KINDS
from training import make_corpus as module
from training.chat_format import Document, document_pieces, prompt_text
from training.examples import Example, Skill, assistant, user
from training.make_corpus import (
    SYSTEM_PROMPTS,
    document_of,
    documents,
    held_out_instances,
    instances,
    make_corpus,
)
from training.skills import SKILLS


@pytest.fixture(autouse=True)
def few_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few that a corpus is made in a second."""
    monkeypatch.setattr(module, "NUM_HELD_OUT", 8)


def written(directory: Path, *, seed: int) -> dict[str, bytes]:
    """The bytes of a small corpus, by file name."""
    make_corpus(directory, seed=seed, num_documents=400)
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first = written(tmp_path / "first", seed=3)
    assert first == written(tmp_path / "second", seed=3)
    assert set(first) == {"train.jsonl", "eval.jsonl", "guide.json"}
    other = written(tmp_path / "third", seed=4)
    assert other["train.jsonl"] != first["train.jsonl"]
    assert other["eval.jsonl"] != first["eval.jsonl"]


def test_no_held_out_instance_is_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Example] = []

    def recording(example: Example) -> Document:
        used.append(example)
        return document_of(example)

    monkeypatch.setattr(module, "NUM_HELD_OUT", 40)
    monkeypatch.setattr(module, "document_of", recording)
    assert sum(1 for _ in documents(0, 6_000)) == 6_000
    trained = {(each.kind, each.key) for each in used if each.key}
    used.clear()
    assert sum(1 for _ in instances(0)) > 400
    held_out = {(each.kind, each.key) for each in used}
    assert len(trained) > 5_000
    assert len(held_out) > 350
    assert not trained & held_out
    assert all(key for _, key in held_out)


def test_no_prompt_that_measures_is_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NUM_HELD_OUT", 40)
    measuring = {each["prompt"] for each in instances(0)}
    trained = set()
    for document in documents(0, 6_000):
        trained.add(prompt_text(document))
        for before, answer in pairwise(document.get("messages", [])):
            if answer["role"] == "assistant" and before["role"] == "user":
                trained.add(prompt_text({"messages": [before, answer]}))
    assert len(measuring) > 400
    assert not measuring & trained


def test_every_exact_kind_is_measured_equally_often() -> None:
    per_skill: dict[str, Counter[str]] = {}
    for name, skill in SKILLS.items():
        if skill.is_exact:
            found = list(held_out_instances(0, skill))
            per_skill[name] = Counter(each["kind"] for each in found)
            assert len({each["prompt"] for each in found}) == len(found)
    assert set().union(*per_skill.values()) == EXACT_KINDS
    assert {count for counted in per_skill.values() for count in counted.values()} == {8}


def test_the_guide_is_measured_by_all_its_questions() -> None:
    guide = [each for each in instances(0) if each["kind"] == "guide"]
    assert len(guide) == 40
    assert all(each["prompt"].startswith("<|im_start|>user\n") for each in guide)


def test_the_evaluation_reads_what_is_written(tmp_path: Path) -> None:
    make_corpus(tmp_path, num_documents=1)
    questions = read_questions(tmp_path / "eval.jsonl")
    assert {each.kind for each in questions.instances} == {*EXACT_KINDS, "guide"}
    assert all(set(texts) for texts in questions.guide.values())
    chats = [each for each in questions.instances if each.prompt.startswith("<|im_start|>")]
    endings = (CHAT_TURN, f"{CHAT_TURN}<think>\n")
    assert len(chats) > 0.8 * len(questions.instances)
    assert all(each.prompt.endswith(endings) for each in chats)
    assert all(not each.prompt.startswith(" ") for each in questions.instances)


def test_examples_are_strung_into_conversations() -> None:
    chained = [one for one in documents(0, 2_000) if "messages" in one and "tools" not in one]
    lengths = Counter(sum(each["role"] == "user" for each in one["messages"]) for one in chained)
    assert lengths[1] > 1_000
    assert sum(count for length, count in lengths.items() if length >= 10) > 10
    systems = [one["messages"][0]["content"] for one in chained if len(one["messages"]) > 8]
    assert any(text in SYSTEM_PROMPTS for text in systems)
    for document in chained:
        roles = [each["role"] for each in document["messages"] if each["role"] != "system"]
        assert roles == ["user", "assistant"] * (len(roles) // 2)


def test_every_skill_reaches_the_corpus_by_its_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: Counter[str] = Counter()

    def skill(name: str, weight: float) -> Skill:
        def draw(_: object) -> Example:
            drawn[name] += 1
            return Example("Yes.", "", messages=(user(name),))

        return Skill(name, weight, draw)

    monkeypatch.setattr(
        module, "SKILLS", {"often": skill("often", 3), "seldom": skill("seldom", 1)}
    )
    assert len(list(documents(0, 1_000))) == 1_000
    assert 2.5 < drawn["often"] / drawn["seldom"] < 3.5


@pytest.mark.parametrize("question", ["What is the capital of France?", "Who are you?"])
def test_the_plain_wording_of_a_question_is_trained_on(question: str) -> None:
    text = "".join(json.dumps(document) for document in documents(0, 4_000))
    assert json.dumps(question) in text


def test_a_document_keeps_what_its_example_says() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    example = Example(
        "t-e-n",
        "key",
        messages=(user("Spell ten."),),
        tools=(tool,),
        thought="Letters.",
        spelled=("t-e-n",),
    )
    assert document_of(example) == {
        "messages": [user("Spell ten."), assistant("t-e-n") | {"spelled": ["t-e-n"]}],
        "tools": [tool],
        "thought": "Letters.",
    }
    text = document_of(Example(" t-e-n", "", text="Ten:", spelled=("t-e-n",)))
    assert text == {"text": "Ten:", "completion": " t-e-n", "spelled": ["t-e-n"]}
    assert [piece.spelled for piece in document_pieces(text)] == [(), ("t-e-n",)]
