"""The tools that a user's client may offer, in many spellings.

A tool's kind is what it does; its name and its parameters' names are drawn, so that the only way to
a right call is to read the schema in the prompt.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from training.examples import Tool
from training.skills.tool_kinds import KINDS, ToolKind, Values

CAMEL_CASE_SHARE = 0.1
PARAMETER_DESCRIPTION_SHARE = 0.2
NUM_TOOLS_WEIGHTS = {1: 45, 2: 35, 3: 20}


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool as one request offers it."""

    kind: ToolKind
    name: str
    parameter_names: dict[str, str]
    description: str
    has_parameter_descriptions: bool

    @property
    def schema(self) -> Tool:
        """The tool in OpenAI's form."""
        properties: dict[str, Any] = {}
        for slot in self.kind.slots:
            schema = {"type": slot.type}
            if self.has_parameter_descriptions:
                schema["description"] = slot.description
            properties[self.parameter_names[slot.id]] = schema
        parameters = {"type": "object", "properties": properties, "required": list(properties)}
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": parameters,
        }
        return {"type": "function", "function": function}

    def arguments(self, filled: Values) -> dict[str, Any]:
        """The arguments of a call, under the names that this tool gives them."""
        return {self.parameter_names[slot.id]: filled[slot.id] for slot in self.kind.slots}


def draw_kind(rng: random.Random) -> ToolKind:
    """One kind, by weight."""
    return rng.choices(KINDS, [kind.weight for kind in KINDS])[0]


def offer(rng: random.Random, kind: ToolKind) -> OfferedTool:
    """A tool of `kind` with drawn names; no two parameters share one."""
    to_spelling = _camel_case if rng.random() < CAMEL_CASE_SHARE else str
    parameter_names: dict[str, str] = {}
    for slot in kind.slots:
        free = [name for name in slot.names if name not in parameter_names.values()]
        parameter_names[slot.id] = rng.choice(free)
    return OfferedTool(
        kind,
        to_spelling(rng.choice(kind.names)),
        {slot: to_spelling(name) for slot, name in parameter_names.items()},
        rng.choice(kind.descriptions),
        rng.random() < PARAMETER_DESCRIPTION_SHARE,
    )


def offer_among(
    rng: random.Random, kind: ToolKind, excluded: tuple[str, ...] = ()
) -> tuple[OfferedTool, list[OfferedTool]]:
    """A tool of `kind`, and the list of one to three tools in random order that it stands in."""
    chosen = offer(rng, kind)
    num_tools = rng.choices(list(NUM_TOOLS_WEIGHTS), list(NUM_TOOLS_WEIGHTS.values()))[0]
    offered = [chosen]
    while len(offered) < num_tools:
        other = offer(rng, draw_kind(rng))
        is_clear = all(
            other.kind.group != tool.kind.group and other.name != tool.name for tool in offered
        )
        if is_clear and other.kind.group not in excluded:
            offered.append(other)
    rng.shuffle(offered)
    return chosen, offered


def vary_mark(rng: random.Random, question: str) -> str:
    """The question, sometimes without its last mark; the case stays, as names are copied."""
    return question if rng.random() < 0.8 else question.rstrip("?.")


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)
