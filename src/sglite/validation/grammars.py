"""Checks of the parameters that say what an answer must look like.

Only their form and size are looked at here. Whether a grammar can be compiled, and fulfilled, is
found out in the engine's helper process, which may be ended (R13).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sglite.errors import RequestError
from sglite.validation.fields import shown, string

MAX_GRAMMAR_CHARACTERS = 65_536
"""Most characters of a schema, a regular expression, a grammar or a structural tag."""
MAX_CHOICES = 1024
MAX_CHOICE_CHARACTERS = 4096

GRAMMARS = ("json_schema", "regex", "ebnf", "choice", "structural_tag")
"""The parameters of which a request may have one."""


def grammar_text(field: str, value: object) -> str | None:
    """A regular expression or a grammar; None for an empty one, which is none."""
    if value == "":
        return None
    return string(field, value, max_length=MAX_GRAMMAR_CHARACTERS)


def schema_text(field: str, value: object) -> str | None:
    """A JSON schema, as an object or as JSON text, as compact JSON; None for an empty text."""
    if value == "":
        return None
    schema = _parsed(field, value) if isinstance(value, str) else value
    if not isinstance(schema, dict) and not (isinstance(value, str) and type(schema) is bool):
        raise RequestError(
            f"{field} must be a JSON schema, an object or its text, got {shown(value)}", param=field
        )
    return _compact(field, schema)


def tag_text(field: str, value: object) -> str | None:
    """A structural tag, as an object or as JSON text, as compact JSON; None for an empty text."""
    if value == "":
        return None
    tag = _parsed(field, value) if isinstance(value, str) else value
    if not isinstance(tag, dict):
        raise RequestError(
            f"{field} must be an object or its JSON text, got {shown(value)}", param=field
        )
    return _compact(field, tag)


def choices(field: str, value: object) -> tuple[str, ...]:
    """The texts to choose from; none for an empty list, which is no choice at all."""
    if not isinstance(value, (list, tuple)):
        raise RequestError(f"{field} must be a list of strings, got {shown(value)}", param=field)
    if len(value) > MAX_CHOICES:
        raise RequestError(
            f"{field} must have from 1 to {MAX_CHOICES:,} strings, got {len(value):,}", param=field
        )
    if "" in value:
        raise RequestError(
            f"{field} must have from 1 to {MAX_CHOICE_CHARACTERS:,} characters, got none "
            f"in {field}[{value.index('')}]",
            param=field,
        )
    if "" in value:
        raise RequestError(
            f"{field} must have from 1 to {MAX_CHOICE_CHARACTERS:,} characters, got none "
            f"in {field}[{value.index('')}]",
            param=field,
        )
    texts = tuple(string(field, each, max_length=MAX_CHOICE_CHARACTERS) for each in value)
    num_characters = sum(map(len, texts))
    if num_characters > MAX_GRAMMAR_CHARACTERS:
        raise _too_long(field, num_characters)
    return texts


def check_one_grammar(given: Mapping[str, object]) -> None:
    """Raise RequestError where more than one of ``given`` is set: all of them are named."""
    names = [name for name, value in given.items() if value not in (None, ())]
    if len(names) > 1:
        raise RequestError(
            f"{' and '.join(names)} are given; an answer can follow one of them", param=names[1]
        )


def _parsed(field: str, text: str) -> Any:
    if len(text) > MAX_GRAMMAR_CHARACTERS:
        raise _too_long(field, len(text))
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise RequestError(
            f"{field} must be valid JSON, got {error.msg!r} at character {error.pos:,}", param=field
        ) from error
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, NaN, deep lists
        raise RequestError(f"{field} must be valid JSON", param=field) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _compact(field: str, value: object) -> str:
    """The same value as the shortest JSON text, its keys in their order."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestError(f"{field} cannot be written as JSON", param=field) from error
    return string(field, text, max_length=MAX_GRAMMAR_CHARACTERS)


def _too_long(field: str, num_characters: int) -> RequestError:
    return RequestError(
        f"{field} must have at most {MAX_GRAMMAR_CHARACTERS:,} characters, got {num_characters:,}",
        param=field,
    )
