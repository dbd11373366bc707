"""The parts of structural tags, in xgrammar's form."""

from __future__ import annotations

from typing import Any

Format = dict[str, Any]


def const(text: str) -> Format:
    """This text."""
    return {"type": "const_string", "value": text}


def json_value(schema: object, source: str | None = None) -> Format:
    """A JSON value of a schema; ``source`` is where that came from, for messages about it."""
    named = {} if source is None else {"source": source}
    return {"type": "json_schema", "json_schema": schema, **named}


def sequence(*parts: Format) -> Format:
    """One part after the other."""
    return {"type": "sequence", "elements": list(parts)}


def either(*parts: Format) -> Format:
    """Any one of the parts."""
    return {"type": "or", "elements": list(parts)}


def tag(begin: str, content: Format, end: str) -> Format:
    """``content`` between two texts."""
    return {"type": "tag", "begin": begin, "content": content, "end": end}


def separated(tags: list[Format], separator: str, *, is_parallel: bool) -> Format:
    """At least one of ``tags``, only one if not ``is_parallel``, with a text between them."""
    return {
        "type": "tags_with_separator",
        "tags": tags,
        "separator": separator,
        "at_least_one": True,
        "stop_after_first": not is_parallel,
    }


def triggered(triggers: list[str], tags: list[Format], *, is_parallel: bool) -> Format:
    """Text in which a trigger begins one of ``tags``; it ends with the first if not parallel."""
    return {
        "type": "triggered_tags",
        "triggers": triggers,
        "tags": tags,
        "at_least_one": False,
        "stop_after_first": not is_parallel,
    }
