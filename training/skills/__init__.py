"""The registry of skills. To add one: a module with a `SKILL`, and its line in `SKILLS`."""

from __future__ import annotations

from training.examples import Skill
from training.skills import (
    about_sglite,
    arithmetic,
    capitals,
    facts,
    founding,
    greetings,
    guide_answers,
    identity,
    json_extraction,
    multi_turn,
    out_of_scope,
    sorting,
    stories,
    strings,
    text_completion,
    thinking,
    tool_answers,
    tool_calls,
)

SKILLS: dict[str, Skill] = {
    module.SKILL.name: module.SKILL
    for module in (
        guide_answers,
        about_sglite,
        identity,
        greetings,
        out_of_scope,
        founding,
        capitals,
        facts,
        text_completion,
        json_extraction,
        tool_calls,
        tool_answers,
        arithmetic,
        strings,
        sorting,
        thinking,
        multi_turn,
        stories,
    )
}
"""Every skill by name, in the order in which reports list them."""
