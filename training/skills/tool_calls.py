"""Tool calls: which of the offered tools answers the question, and with which arguments."""

from __future__ import annotations

import json
import random

from training.examples import (
    Example,
    Message,
    Skill,
    Tool,
    ask,
    assistant,
    draw_phrase,
    system,
    user,
    vary,
)
from training.skills import arithmetic, greetings, identity
from training.skills.capitals import capital_answer
from training.skills.countries import COUNTRIES
from training.skills.tool_kinds import ToolKind, Values
from training.skills.toolbox import OfferedTool, draw_kind, offer_among, vary_mark

KIND = "tool_calls"
PLAIN_SHARE = 0.12
"""Share of questions that none of the offered tools fits."""
SYSTEM_SHARE = 0.15
GREETING_SHARE = 0.08
"""Share of questions that come after a greeting."""
SYSTEM_PROMPTS = [
    "You are a helpful assistant.",
    "You are a helpful assistant with tools.",
    "Use the tools when they help.",
    "Be concise.",
]


def write_call(name: str, arguments: Values) -> str:
    """A tool call in Hermes form."""
    call = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{call}\n</tool_call>"


def draw_question(rng: random.Random, kind: ToolKind, filled: Values) -> str:
    """A question that `kind` answers."""
    return vary_mark(rng, rng.choice(kind.questions).format(**filled))


def draw_opening(rng: random.Random) -> list[Message]:
    """What may stand before the question: a system prompt, a greeting."""
    opening = [system(rng.choice(SYSTEM_PROMPTS))] if rng.random() < SYSTEM_SHARE else []
    if rng.random() < GREETING_SHARE:
        greeting = rng.choice(greetings.ENGLISH)
        opening += [user(greeting.wordings[0]), assistant(greeting.answer)]
    return opening


def instance_key(kind: ToolKind, filled: Values) -> str:
    """The instance: what is done with which values, in any wording and schema."""
    return "|".join([kind.id, *(str(filled[slot.id]) for slot in kind.slots)])


def draw(rng: random.Random) -> Example:
    """A question and the call that it needs; seldom one that needs none."""
    kind = draw_kind(rng)
    chosen, offered = offer_among(rng, kind)
    schemas = tuple(tool.schema for tool in offered)
    if rng.random() < PLAIN_SHARE:
        return _draw_plain(rng, offered, schemas)
    filled = kind.draw(rng)
    question = draw_question(rng, kind, filled)
    # A kind without parameters has no instances to hold out.
    key = instance_key(kind, filled) if kind.slots else ""
    return Example(
        write_call(chosen.name, chosen.arguments(filled)),
        key,
        messages=(*draw_opening(rng), user(question)),
        kind=KIND,
        tools=schemas,
    )


def _draw_plain(
    rng: random.Random, offered: list[OfferedTool], schemas: tuple[Tool, ...]
) -> Example:
    """Small talk, a capital or a sum: nothing for the offered tools."""
    is_calculator_offered = any(tool.kind.group == "calculate" for tool in offered)
    share = rng.random()
    if share < 0.5:
        example = draw_phrase(rng, [*greetings.ENGLISH, *identity.ENGLISH])
    elif share < 0.85 or is_calculator_offered:
        country = rng.choice(COUNTRIES)
        question = vary(rng, f"What is the capital of {country.name}?")
        example = ask(question, capital_answer(country), key=f"plain|{country.name}")
    else:
        a, b = arithmetic.draw_two_numbers(rng)
        key = arithmetic.instance_key("+", a, b)
        example = ask(vary(rng, f"What is {a} + {b}?"), f"{a} + {b} = {a + b}.", key=key)
    opening = [system(rng.choice(SYSTEM_PROMPTS))] if rng.random() < SYSTEM_SHARE else []
    messages = (*opening, *example.messages)
    return Example(example.answer, example.key, messages=messages, kind=KIND, tools=schemas)


SKILL = Skill("tool_calls", weight=12, draw=draw)
