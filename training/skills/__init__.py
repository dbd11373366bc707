"""The registry of skills. To add one: a module with a `SKILL`, and its line in `SKILLS`."""

from __future__ import annotations

from training.examples import Skill
from training.skills import (
    about_sglite,
    capitals,
    greetings,
    identity,
    out_of_scope,
    sums,
    text_completion,
)

SKILLS: dict[str, Skill] = {
    skill.name: skill
    for skill in (
        sums.SKILL,
        capitals.SKILL,
        text_completion.SKILL,
        identity.SKILL,
        about_sglite.SKILL,
        greetings.SKILL,
        out_of_scope.SKILL,
    )
}
"""Every skill by name, in the order in which reports list them."""
