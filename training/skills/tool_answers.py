"""Answers from tools' results: a question, a call, its result, and the sentence that follows."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from training.examples import Example, Message, Skill, assistant, user
from training.skills import tool_values as values
from training.skills.tool_calls import draw_opening, draw_question, instance_key, write_call
from training.skills.tool_kinds import Values
from training.skills.toolbox import OfferedTool, draw_kind, offer_among

KIND = "tool_answers"
ERROR_SHARE = 0.06
NEXT_CALL_SHARE = 0.1
"""Share of conversations that go on to a second call."""
BARE_SHARE = 0.15
"""Share of results of one field that are only its value, without JSON."""
ERRORS = [
    *("not found", "timeout", "no connection", "access denied", "service not available"),
    *("invalid input", "too many requests", "unknown name", "internal error", "try again later"),
]

Outcome = tuple[dict[str, Any], str]
"""What a tool returned, and the answer that follows."""


def _weather(rng: random.Random, filled: Values) -> Outcome:
    temperature, condition = rng.randint(-15, 39), rng.choice(values.CONDITIONS)
    temperature_name = rng.choice(["temperature", "temperature", "temp", "degrees", "celsius"])
    condition_name = rng.choice(["condition", "condition", "weather", "sky", "conditions"])
    city, share = filled["city"], rng.random()
    if share < 0.1:
        return {temperature_name: temperature}, f"It is {temperature} degrees in {city}."
    if share < 0.2:
        return {condition_name: condition}, f"It is {condition} in {city}."
    fields = [(temperature_name, temperature), (condition_name, condition)]
    if rng.random() < 0.3:
        fields.reverse()
    if rng.random() < 0.15:
        fields.insert(0, (rng.choice(["city", "location"]), city))
    if rng.random() < 0.15:
        fields.append(("humidity", rng.randint(20, 95)))
    return dict(fields), f"It is {condition} and {temperature} degrees in {city}."


def _time(rng: random.Random, filled: Values) -> Outcome:
    time = values.clock_time(rng)
    result = {rng.choice(["time", "time", "current_time", "local_time", "now"]): time}
    return result, f"It is {time} in {filled['city']}." if filled else f"It is {time}."


def _calculation(rng: random.Random, filled: Values) -> Outcome:
    left, operator, right, *rest = filled["expression"].split()
    a, b = int(left), int(right)
    third = int(rest[1]) * (1 if rest[0] == "+" else -1) if rest else 0
    if operator == "*":
        number: float = a * b + third
    elif operator == "/":
        number = round(a / b + third, 2)
    else:
        number = a + (b if operator == "+" else -b) + third
    number = int(number) if number == int(number) else number
    name = rng.choice(["result", "result", "value", "answer"])
    return {name: number}, f"{filled['expression']} = {number}."


def _conversion(rng: random.Random, filled: Values) -> Outcome:
    converted = round(filled["amount"] * rng.uniform(0.2, 5), 2)
    name = rng.choice(["amount", "result", "value", "converted"])
    answer = f"{filled['amount']} {filled['source']} is {converted} {filled['target']}."
    return {name: converted}, answer


def _search(rng: random.Random, filled: Values) -> Outcome:
    ending = rng.choice(["a short guide", "ten ideas", "the best places", "news", "a list"])
    title = f"{filled['query'].capitalize()}: {ending}"
    name = rng.choice(["title", "result", "page"])
    return {name: title}, f'I found "{title}".'


def _translation(rng: random.Random, filled: Values) -> Outcome:
    language, text = filled["language"], filled["text"]
    translation = values.TRANSLATIONS[language][text]
    name = rng.choice(["translation", "text", "result"])
    return {name: translation}, f'"{text}" in {language} is "{translation}".'


def _population(rng: random.Random, filled: Values) -> Outcome:
    number = rng.randint(100, 99_999) * 1000
    name = rng.choice(["population", "people", "inhabitants", "count"])
    return {name: number}, f"{filled['country']} has {number} inhabitants."


def _file(rng: random.Random, filled: Values) -> Outcome:
    content = rng.choice(values.MESSAGES)
    name = rng.choice(["content", "text", "data"])
    return {name: content}, f'{filled["path"]} contains "{content}".'


_LOOKED_UP: dict[str, list[str]] = {
    "color": "red blue green black white yellow brown".split(),
    "material": "wood metal glass cotton wool paper leather".split(),
    "brand": "Nordic Alba Sirius Verde Luna Orion".split(),
    "status": "open closed shipped paid new lost ready".split(),
    "owner": values.PEOPLE,
    "priority": "low high normal urgent".split(),
    "team": "sales support research finance design".split(),
    "job": "teacher baker pilot doctor driver painter cook".split(),
}


def _attribute(rng: random.Random, filled: Values) -> Outcome:
    attribute, subject = filled["attribute"], filled["subject"]
    value: int | str = rng.randint(1, rng.choice([9, 99, 999]))
    if attribute in _LOOKED_UP:
        value = rng.choice(_LOOKED_UP[attribute])
    elif attribute == "age":
        value = rng.randint(18, 90)
    elif attribute == "phone":
        value = rng.randint(100_000, 999_999)
    elif attribute == "email":
        value = f"{subject.lower()}@example.{rng.choice(['com', 'org', 'net'])}"
    elif attribute == "address":
        value = f"{rng.randint(1, 99)} {rng.choice(['Main', 'Park', 'Lake', 'Hill'])} Street"
    elif attribute in ("birthday", "date"):
        value = f"{rng.choice(['May', 'June', 'July', 'March', 'April'])} {rng.randint(1, 30)}"
    named = {"item": f"the {subject}", "person": subject, "order": f"order {subject}"}
    name = rng.choice([attribute, attribute, "value", "result"])
    return {name: value}, f"The {attribute} of {named[filled['subject_kind']]} is {value}."


def _done(sentence: str) -> Callable[[random.Random, Values], Outcome]:
    """The outcome of a tool that only reports that it did what was asked."""

    def outcome(rng: random.Random, filled: Values) -> Outcome:
        result: Any = rng.choice(["ok", "done", "success"])
        name = rng.choice(["status", "status", "result"])
        return {name: result}, sentence.format(**filled)

    return outcome


OUTCOMES: dict[str, Callable[[random.Random, Values], Outcome]] = {
    "weather": _weather,
    "time": _time,
    "time here": _time,
    "calculate": _calculation,
    "message": _done("I sent the message to {person}."),
    "currency": _conversion,
    "search": _search,
    "timer": _done("The timer is set for {minutes} minutes."),
    "alarm": _done("The alarm is set for {time}."),
    "translate": _translation,
    "population": _population,
    "file": _file,
    "light": _done("The light in the {room} is {state}."),
}
"""Kind of tool to what it returns; every other kind looks up an attribute."""


def call_message(name: str, arguments: Values) -> Message:
    """An assistant's message that calls one tool."""
    function = {"name": name, "arguments": arguments}
    calls = [{"type": "function", "function": function}]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def write_result(rng: random.Random, result: dict[str, Any]) -> str:
    """What the tool's message holds: JSON, or the only value itself."""
    if len(result) == 1 and "error" not in result and rng.random() < BARE_SHARE:
        return str(next(iter(result.values())))
    return json.dumps(result, ensure_ascii=False)


def draw(rng: random.Random) -> Example:
    """A conversation up to a tool's result, seldom beyond; values and result are the instance."""
    kind = draw_kind(rng)
    chosen, offered = offer_among(rng, kind)
    filled = kind.draw(rng)
    result, answer = OUTCOMES.get(kind.id, _attribute)(rng, filled)
    if rng.random() < ERROR_SHARE:
        error = rng.choice(ERRORS)
        result, answer = {"error": error}, f"The tool failed: {error}."
    messages = (
        *draw_opening(rng),
        user(draw_question(rng, kind, filled)),
        call_message(chosen.name, chosen.arguments(filled)),
        {"role": "tool", "content": write_result(rng, result)},
    )
    if rng.random() < NEXT_CALL_SHARE:
        return _draw_next_call(rng, (*messages, assistant(answer)), offered)
    key = f"{instance_key(kind, filled)}|{'|'.join(sorted(map(str, result.values())))}"
    tools = tuple(tool.schema for tool in offered)
    return Example(answer, key, messages=messages, kind=KIND, tools=tools)


def _draw_next_call(
    rng: random.Random, messages: tuple[Message, ...], offered: list[OfferedTool]
) -> Example:
    """After one round, a second question that needs a tool."""
    tool = rng.choice(offered)
    filled = tool.kind.draw(rng)
    return Example(
        write_call(tool.name, tool.arguments(filled)),
        instance_key(tool.kind, filled) if tool.kind.slots else "",
        messages=(*messages, user(draw_question(rng, tool.kind, filled))),
        kind="tool_calls",
        tools=tuple(one.schema for one in offered),
    )


SKILL = Skill("tool_answers", weight=6, draw=draw)
