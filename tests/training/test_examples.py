"""The contract of skills: one right answer per prompt, and a split that holds everywhere."""

from __future__ import annotations

import random
import re

import pytest

from tests.training.drawing import draws, question
from training.chat_format import answer_text, prompt_text
from training.examples import (
    HELD_OUT_PERCENT,
    Example,
    Intent,
    ask,
    draw_phrase,
    is_held_out,
    system,
    user,
    vary,
)
from training.make_corpus import document_of
from training.skills import SKILLS, about_sglite, founding, general_facts, greetings, identity
from training.skills.guide_answers import read_questions

EXACT_KINDS = {
    *("capitals", "facts", "arithmetic", "strings", "sorting", "json", "tool_calls"),
    *("tool_answers", "thinking", "multi_turn"),
}


def bare(text: str) -> str:
    """The text without case, blanks and marks."""
    return re.sub(r"[\W_]", "", text.casefold())


def test_no_prompt_has_two_answers() -> None:
    answers: dict[str, str] = {}
    for name in SKILLS:
        for example in draws(name, 3_000):
            document = document_of(example)
            answer = answer_text(document)
            assert answers.setdefault(prompt_text(document), answer) == answer, example
    assert len(answers) > 30_000


def test_no_wording_belongs_to_two_intents() -> None:
    known: dict[str, str] = {}
    intents = [
        *(greetings.INTENTS + identity.INTENTS + about_sglite.INTENTS),
        *(founding.INTENTS + general_facts.PHRASES),
    ]
    for intent in intents:
        for wording in intent.wordings:
            assert known.setdefault(bare(wording), intent.answer) == intent.answer, wording


def test_no_question_that_measures_the_guide_is_ever_drawn() -> None:
    measuring = {bare(each["question"]) for each in read_questions()}
    assert len(measuring) == 40
    for name in SKILLS:
        for example in draws(name, 3_000):
            asked = [each["content"] for each in example.messages if each["role"] == "user"]
            assert not measuring & {bare(text) for text in asked}, example


@pytest.mark.parametrize("name", SKILLS)
def test_a_skill_keeps_the_contract(name: str) -> None:
    skill = SKILLS[name]
    assert skill.name == name
    for example in draws(name):
        assert bool(example.text) != bool(example.messages), example
        assert example.text or example.messages[-1]["role"] in ("user", "tool"), example
        assert example.answer == example.answer.rstrip(), example
        assert example.text or example.answer == example.answer.strip(), example
        if skill.is_exact and example.key:
            assert example.kind in EXACT_KINDS, example
        for word in example.spelled:
            assert word in example.answer, example


@pytest.mark.parametrize("name", SKILLS)
def test_a_skill_is_deterministic(name: str) -> None:
    first, second = (random.Random(5), random.Random(5))
    draw = SKILLS[name].draw
    assert [draw(first) for _ in range(50)] == [draw(second) for _ in range(50)]


@pytest.mark.parametrize("name", [name for name, skill in SKILLS.items() if skill.is_exact])
def test_an_exact_skill_has_instances_to_hold_out_and_more_to_train_on(name: str) -> None:
    keys = {example.key for example in draws(name, 3_000) if example.key}
    held_out = {key for key in keys if is_held_out(key)}
    assert len(held_out) >= 10
    assert len(held_out) < 0.2 * len(keys)


def test_the_hash_holds_out_its_share_and_never_the_empty_key() -> None:
    num_held_out = sum(is_held_out(f"instance {number}") for number in range(10_000))
    assert abs(num_held_out / 100 - HELD_OUT_PERCENT) < 1
    assert not is_held_out("")
    # The split must not move: what a released model was measured by was never trained on.
    assert [number for number in range(40) if is_held_out(str(number))] == [4, 21, 25]


def test_only_the_first_wording_of_an_intent_is_always_trained_on() -> None:
    rng = random.Random(0)
    intent = Intent("Yes.", ["Is it so?", "Really?"])
    keys = {bare(question(one)): one.key for one in (draw_phrase(rng, [intent]) for _ in range(50))}
    assert keys == {"isitso": "", "really": "Really?"}


def test_varied_questions_differ_in_case_and_last_mark_only() -> None:
    rng = random.Random(0)
    varied = {vary(rng, "Who are you?") for _ in range(100)}
    assert varied == {"Who are you?", "who are you?", "Who are you", "who are you"}


def test_only_a_plain_question_can_be_chained() -> None:
    plain = ask("Hi", "Hello")
    assert plain.can_be_chained
    tool = {"type": "function", "function": {"name": "f"}}
    with_system = Example("Hello", "", messages=(system("Be nice."), user("Hi")))
    with_tools = Example("Hello", "", messages=plain.messages, tools=(tool,))
    with_thought = Example("Hello", "", messages=plain.messages, thought="A greeting.")
    text = Example(" Paris.", "", text="The capital of France is")
    assert not any(one.can_be_chained for one in (with_system, with_tools, with_thought, text))
