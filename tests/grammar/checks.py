"""Whether a text is what was asked for, by judges that know nothing of the grammar libraries."""

from __future__ import annotations

import json
import re
from decimal import Context, Decimal, InvalidOperation, localcontext
from typing import Any

import jsonschema

# Long enough that a multiple of 0.01 is told exactly for every number a model writes down.
EXACT = Context(prec=5000)


def read_json(text: str) -> Any:
    """Parse with decimals kept exact; refuses NaN and the like."""
    return json.loads(text, parse_float=_exact, parse_constant=_refuse_constant)


def _exact(text: str) -> Decimal:
    """The number; one whose exponent no machine could hold stays on its side of the others."""
    try:
        return Decimal(text)
    except InvalidOperation:
        mantissa, exponent = text.lower().split("e")
        huge = Decimal("1E-900000000000000000" if exponent.startswith("-") else "Infinity")
        return huge.copy_sign(Decimal(mantissa))


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def schema_problem(schema: Any, text: str) -> str | None:
    """What is wrong with ``text`` as an instance of ``schema``, by the ``jsonschema`` library.

    Decimals are exact on both sides: with floats the library finds that 1.1 is no multiple of 0.1.
    """
    try:
        instance = read_json(text)
    except ValueError as error:
        return f"no JSON: {error}"
    exact_schema = read_json(json.dumps(schema))
    validator = jsonschema.validators.validator_for(exact_schema, jsonschema.Draft202012Validator)
    with localcontext(EXACT):
        error = jsonschema.exceptions.best_match(validator(exact_schema).iter_errors(instance))
    return None if error is None else error.message[:300]


def regex_problem(pattern: str, text: str) -> str | None:
    """What is wrong with ``text``: it has to match as a whole, by Python's rules."""
    return None if re.fullmatch(pattern, text) else f"{text!r} does not match {pattern!r}"
