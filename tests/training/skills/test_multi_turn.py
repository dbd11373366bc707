"""Questions that refer back: what is answered was said, asked or worked out before."""

from __future__ import annotations

import re

from tests.training.drawing import draws, question
from tests.training.skills.oracles import calculated
from training.examples import Example
from training.skills.capitals import capital_answer
from training.skills.countries import COUNTRIES
from training.skills.multi_turn import FACTS, NAME, RECORDS

EXAMPLES = draws("multi_turn", 3_000)
QUESTIONS = {
    asked.lower().rstrip("?."): answer
    for answer, questions in [
        *((fact.answer, fact.questions) for fact in [NAME, *FACTS]),
        *((answer, questions) for _, questions, answer, _ in RECORDS),
    ]
    for asked in questions
}
SIGNS = {"add": "+", "plus": "+", "subtract": "-", "minus": "-", "multiply": "*", "times": "*"}


def before(example: Example) -> list[str]:
    """What was said before the last question, by whomever."""
    return [each["content"] for each in example.messages[:-1]]


def asked_before(example: Example) -> list[str]:
    """The user's earlier messages."""
    return [each["content"] for each in example.messages[:-1] if each["role"] == "user"]


def test_turns_alternate_and_only_the_first_message_is_a_system_prompt() -> None:
    for example in EXAMPLES:
        roles = [each["role"] for each in example.messages]
        if roles[0] == "system":
            roles = roles[1:]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"], example


def test_what_the_user_asks_for_was_said() -> None:
    num_checked = 0
    for example in EXAMPLES:
        form = QUESTIONS.get(question(example).lower().rstrip("?."))
        if form is None or "have not told" in example.answer:
            continue
        num_checked += 1
        found = re.fullmatch(re.escape(form).replace(r"\{\}", "(.+)"), example.answer)
        assert found, example
        said = [
            each["content"] for each in example.messages[:-1] if each["role"] in ("user", "system")
        ]
        assert any(re.search(rf"\b{re.escape(found[1])}\b", text, re.I) for text in said), example
    assert num_checked > 1_000


def test_what_nobody_said_is_not_known() -> None:
    unknown = [example for example in EXAMPLES if "have not told" in example.answer]
    assert len(unknown) > 80
    for example in unknown:
        what = example.answer.removesuffix(".").split("your ")[1]
        told = [text.lower() for text in asked_before(example)]
        if what == "name":
            assert not any(re.match(r"(hello, )?(my name is|call me)", text) for text in told)
        else:
            assert not any(f"my {what}" in text for text in told), example


def test_a_fact_is_told_once() -> None:
    for example in EXAMPLES:
        replies = [text for text in before(example) if text.startswith("I will remember")]
        subjects = [" ".join(reply.split()[:7]) for reply in replies]
        assert len(subjects) == len(set(subjects)), example


def test_follow_ups_go_on_from_the_last_result() -> None:
    num_checked = 0
    for example in EXAMPLES:
        words = re.findall(r"add|plus|subtract|minus|multiply|times", question(example).lower())
        numbers = re.findall(r"\d+", question(example))
        if len(numbers) != 1 or not words:
            continue
        num_checked += 1
        results = [re.search(r"= (\d+)\.$", text) for text in before(example)]
        result = [int(found[1]) for found in results if found][-1]
        expected = calculated(result, SIGNS[words[0]], int(numbers[0]))
        assert example.answer.startswith(f"{result} {SIGNS[words[0]]} {numbers[0]} = "), example
        assert example.answer.endswith(f"= {expected}."), example
    assert num_checked > 250


def test_a_second_capital_is_that_of_the_country_just_named() -> None:
    names = {name.lower(): one for one in COUNTRIES for name in (one.name, *one.other_names)}
    num_checked = 0
    for example in EXAMPLES:
        asked = re.fullmatch(
            r"(?:and|what about|and what about|how about)"
            r"(?: of| for| the capital of)? (.+?)\??",
            question(example).lower(),
        )
        if asked and asked[1] in names:
            num_checked += 1
            assert example.answer == capital_answer(names[asked[1]]), example
    assert num_checked > 200


def test_questions_are_recalled_word_by_word() -> None:
    num_checked = 0
    for example in EXAMPLES:
        found = re.fullmatch(r'Your (first|last) question was: "(.+)"', example.answer)
        if found:
            num_checked += 1
            assert found[2] == asked_before(example)[0 if found[1] == "first" else -1], example
    assert num_checked > 200
