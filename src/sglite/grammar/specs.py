"""What both libraries share in reading what was asked for."""

from __future__ import annotations

import json
from typing import Literal

from sglite.errors import RequestError
from sglite.grammar.expressions import Alt, Expression, literal
from sglite.grammar.limits import MAX_CHOICE_BYTES, MAX_CHOICES, check_size

Whitespace = Literal["none", "single", "free"]
"""White space of JSON: none; that of ``json.dumps``; or runs of at most twenty characters."""


def parse_choices(text: str) -> Expression:
    """The texts of a JSON list of strings. Raises RequestError."""
    check_size(text, MAX_CHOICE_BYTES, "choice")
    try:
        choices = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"choice is no JSON: {error}", param="choice") from error
    if not isinstance(choices, list) or not all(isinstance(c, str) for c in choices):
        raise RequestError("choice has to be a list of strings", param="choice")
    if not 1 <= len(choices) <= MAX_CHOICES:
        raise RequestError(
            f"choice has {len(choices)} texts; 1 to {MAX_CHOICES} are possible", param="choice"
        )
    if not all(choices):
        raise RequestError("choice has an empty text; leave it out", param="choice")
    return Alt(tuple(literal(choice) for choice in dict.fromkeys(choices)))
