"""Kinds of tools: what they do, the names that they go by, and how users ask for them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from training.skills import tool_values as values

Values = dict[str, Any]
"""What a question is about: the arguments by slot, and words that only the question needs."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A parameter of a tool: what it holds, the names that it goes by, and its JSON type."""

    id: str
    names: list[str]
    description: str
    type: str = "string"


@dataclass(frozen=True, slots=True)
class ToolKind:
    """What a tool does, how it is called and described, and how users ask for it.

    Two kinds of one `group` answer the same questions and are never offered together.
    """

    id: str
    group: str
    weight: float
    names: list[str]
    descriptions: list[str]
    slots: list[Slot]
    questions: list[str]
    draw: Callable[[random.Random], Values]


CITY = Slot("city", ["city", "location", "place", "town", "city_name"], "City name")

SUBJECTS: dict[str, tuple[list[str], Callable[[random.Random], str], list[str]]] = {
    "item": (
        ["item", "product", "name", "article", "object"],
        lambda rng: rng.choice(values.ITEMS),
        [
            "What is the {attribute} of the {subject}?",
            "Tell me the {attribute} of the {subject}.",
            "I need the {attribute} of the {subject}.",
            "Give me the {attribute} of the {subject}.",
        ],
    ),
    "person": (
        ["person", "name", "user", "who", "customer"],
        lambda rng: rng.choice(values.PEOPLE),
        [
            "What is the {attribute} of {subject}?",
            "What is {subject}'s {attribute}?",
            "Tell me the {attribute} of {subject}.",
            "I need the {attribute} of {subject}.",
        ],
    ),
    "order": (
        ["order", "order_id", "id", "code", "number"],
        values.order_code,
        [
            "What is the {attribute} of order {subject}?",
            "Tell me the {attribute} of order {subject}.",
            "Give me the {attribute} of order {subject}.",
            "I need the {attribute} of order {subject}.",
        ],
    ),
}
"""What has attributes: parameter names, values, questions."""

ATTRIBUTES: dict[str, list[str]] = {
    "item": "price weight color size rating stock length width material brand".split(),
    "person": "age email address phone salary score birthday team job balance".split(),
    "order": "status total date owner priority discount".split(),
}
"""What a shop or an office looks up about each."""


def _attribute_kind(subject: str, attribute: str) -> ToolKind:
    parameter_names, draw_subject, questions = SUBJECTS[subject]
    article = "an" if subject[0] in "io" else "a"
    return ToolKind(
        id=f"{attribute} of {subject}",
        group=f"{attribute} of {subject}",
        weight=1.0,
        names=[
            *(f"get_{attribute}", f"{attribute}_of", f"find_{attribute}", f"lookup_{attribute}"),
            *(f"{subject}_{attribute}", f"get_{subject}_{attribute}"),
        ],
        descriptions=[
            f"Get the {attribute} of {article} {subject}.",
            f"The {attribute} of one {subject}.",
        ],
        slots=[Slot("subject", parameter_names, f"The {subject}")],
        questions=questions,
        draw=lambda rng: {
            "subject": draw_subject(rng),
            "subject_kind": subject,
            "attribute": attribute,
        },
    )


def _draw_expression(rng: random.Random) -> Values:
    operator = rng.choice(list(values.OPERATORS))
    if rng.random() < 0.15:
        a, b, c = (rng.randint(2, 99) for _ in range(3))
        text = f"{a} {operator} {b} {rng.choice('+-')} {c}"
        return {"expression": text, "spoken": text}
    left = rng.randint(1, rng.choice([20, 99, 999, 9999]))
    right = rng.randint(1, rng.choice([20, 99, 999]))
    spoken = f"{left} {values.OPERATORS[operator]} {right}"
    return {"expression": f"{left} {operator} {right}", "spoken": spoken}


def _draw_conversion(rng: random.Random) -> Values:
    source, target = rng.sample(values.CURRENCIES, 2)
    amount = rng.choice([rng.randint(1, 99), rng.randint(1, 99) * 10])
    return {"amount": amount, "source": source, "target": target}


def _draw_city(rng: random.Random) -> Values:
    return {"city": rng.choice(values.CITIES)}


def _draw_translation(rng: random.Random) -> Values:
    language = rng.choice(list(values.TRANSLATIONS))
    return {"text": rng.choice(list(values.TRANSLATIONS[language])), "language": language}


_WEATHER_NAMES = ["get_weather", "weather", "current_weather", "get_current_weather", "weather_now"]
_TIME_NAMES = ["get_time", "current_time", "get_current_time", "clock", "time_now"]

BASE_KINDS: list[ToolKind] = [
    ToolKind(
        "weather",
        "weather",
        9,
        _WEATHER_NAMES,
        ["Get the weather in a city.", "Current weather.", "The weather now.", "Get weather."],
        [CITY],
        [
            "What is the weather in {city}?",
            "What's the weather in {city}?",
            "What is the weather like in {city}?",
            "What's the weather like in {city}?",
            "How is the weather in {city}?",
            "How is the weather in {city} today?",
            "What is the weather in {city} right now?",
            "Tell me the weather in {city}.",
            "Is it raining in {city}?",
            "Is it cold in {city}?",
            "How warm is it in {city}?",
            "Weather in {city}?",
            "What is the temperature in {city}?",
        ],
        _draw_city,
    ),
    ToolKind(
        "time",
        "time",
        6,
        [*_TIME_NAMES, "time_in_city", "local_time"],
        ["Get the time in a city.", "Current time in a city.", "The local time.", "Get time."],
        [CITY],
        [
            "What time is it in {city}?",
            "What time is it in {city} now?",
            "What is the time in {city}?",
            "What's the time in {city}?",
            "Tell me the time in {city}.",
            "How late is it in {city}?",
            "Time in {city}?",
            "What is the current time in {city}?",
        ],
        _draw_city,
    ),
    ToolKind(
        "time here",
        "time",
        3,
        _TIME_NAMES,
        ["Get the current time.", "Current time.", "The time now.", "Get time."],
        [],
        [
            "What time is it?",
            "What time is it now?",
            "What is the time?",
            "What's the time?",
            "Tell me the time.",
            "Can you tell me the time?",
            "What is the current time?",
            "How late is it?",
        ],
        lambda rng: {},
    ),
    ToolKind(
        "calculate",
        "calculate",
        9,
        ["calculate", "calculator", "compute", "evaluate", "calc", "math"],
        ["Calculate an expression.", "A calculator.", "Evaluate arithmetic.", "Do a calculation."],
        [
            Slot(
                "expression", ["expression", "formula", "input", "calculation"], "What to calculate"
            )
        ],
        [
            "What is {expression}?",
            "What is {spoken}?",
            "Calculate {expression}.",
            "Compute {expression}.",
            "How much is {expression}?",
            "How much is {spoken}?",
            "{expression}",
            "{expression} = ?",
            "Please calculate {spoken}.",
        ],
        _draw_expression,
    ),
    ToolKind(
        "message",
        "message",
        3,
        ["send_message", "message", "send_text", "send", "text_message"],
        ["Send a message.", "Send a text to a person.", "Message a person."],
        [
            Slot("person", ["to", "recipient", "person", "name"], "Who gets it"),
            Slot("text", ["text", "message", "body", "content"], "The text"),
        ],
        [
            'Send {person} the message "{text}".',
            'Send the message "{text}" to {person}.',
            'Write to {person}: "{text}"',
            'Tell {person}: "{text}"',
        ],
        lambda rng: {"person": rng.choice(values.PEOPLE), "text": rng.choice(values.MESSAGES)},
    ),
    ToolKind(
        "currency",
        "currency",
        3,
        ["convert_currency", "convert", "exchange", "currency"],
        ["Convert money.", "Convert an amount to another currency.", "Exchange currencies."],
        [
            Slot("amount", ["amount", "value", "sum"], "How much", "number"),
            Slot("source", ["from", "source", "from_currency"], "Currency code"),
            Slot("target", ["to", "target", "to_currency"], "Currency code"),
        ],
        [
            "Convert {amount} {source} to {target}.",
            "How much is {amount} {source} in {target}?",
            "What is {amount} {source} in {target}?",
            "Change {amount} {source} into {target}.",
        ],
        _draw_conversion,
    ),
    ToolKind(
        "search",
        "search",
        3,
        ["search", "web_search", "find", "search_web", "lookup"],
        ["Search the web.", "Search for something.", "Find pages."],
        [Slot("query", ["query", "q", "text", "keywords", "topic"], "What to look for")],
        [
            "Search for {query}.",
            "Search the web for {query}.",
            "Look up {query}.",
            "Please search for {query}.",
        ],
        lambda rng: {"query": values.topic(rng)},
    ),
    ToolKind(
        "timer",
        "timer",
        3,
        ["set_timer", "timer", "start_timer", "countdown"],
        ["Set a timer.", "Start a timer."],
        [Slot("minutes", ["minutes", "duration", "length", "time"], "Minutes", "integer")],
        [
            "Set a timer for {minutes} minutes.",
            "Start a timer of {minutes} minutes.",
            "Timer for {minutes} minutes, please.",
            "Wake me in {minutes} minutes.",
        ],
        lambda rng: {"minutes": rng.randint(2, 120)},
    ),
    ToolKind(
        "alarm",
        "alarm",
        2,
        ["set_alarm", "alarm", "add_alarm", "wake_up"],
        ["Set an alarm.", "Set the alarm clock."],
        [Slot("time", ["time", "at", "when"], "Time of day")],
        ["Set an alarm for {time}.", "Wake me at {time}.", "Set the alarm to {time}."],
        lambda rng: {"time": values.clock_time(rng)},
    ),
    ToolKind(
        "translate",
        "translate",
        3,
        ["translate", "translate_text", "translator", "translation"],
        ["Translate a text.", "Translate into a language."],
        [
            Slot("text", ["text", "phrase", "input"], "The text"),
            Slot("language", ["language", "to", "target"], "The language"),
        ],
        [
            'Translate "{text}" into {language}.',
            'Translate "{text}" to {language}.',
            'What is "{text}" in {language}?',
            'How do you say "{text}" in {language}?',
        ],
        _draw_translation,
    ),
    ToolKind(
        "population",
        "population",
        3,
        ["get_population", "population", "population_of", "inhabitants", "count_people"],
        ["Get the population of a country.", "How many people live there.", "Population."],
        [Slot("country", ["country", "place", "name", "location"], "Country name")],
        [
            "How many people live in {country}?",
            "What is the population of {country}?",
            "What's the population of {country}?",
            "How many inhabitants has {country}?",
        ],
        lambda rng: {"country": rng.choice(values.COUNTRIES)},
    ),
    ToolKind(
        "file",
        "file",
        3,
        ["read_file", "open_file", "cat", "get_file", "load_file"],
        ["Read a file.", "Get the text of a file."],
        [Slot("path", ["path", "file", "filename", "name"], "The file")],
        ["Read the file {path}.", "What is in {path}?", "Show me {path}.", "Open {path}."],
        lambda rng: {"path": values.file_name(rng)},
    ),
    ToolKind(
        "light",
        "light",
        3,
        ["set_light", "light", "switch_light", "lamp"],
        ["Switch a light.", "Turn the light on or off."],
        [
            Slot("room", ["room", "where", "place"], "The room"),
            Slot("state", ["state", "mode", "value"], "on or off"),
        ],
        [
            "Turn {state} the light in the {room}.",
            "Switch {state} the light in the {room}.",
            "Turn the {room} light {state}.",
        ],
        lambda rng: {"room": rng.choice(values.ROOMS), "state": rng.choice(["on", "off"])},
    ),
]
"""Kinds of their own."""

KINDS: list[ToolKind] = BASE_KINDS + [
    _attribute_kind(subject, attribute)
    for subject, attributes in ATTRIBUTES.items()
    for attribute in attributes
]
"""Every kind of tool."""
