"""Structural tags: texts with parts that have a form, such as calls of tools within prose.

Two ways to say one, SGLang's and xgrammar's, become one tree:

    {"type": "structural_tag", "triggers": ["<call"],
     "structures": [{"begin": "<call=f>", "schema": {...}, "end": "</call>"}]}

    {"type": "structural_tag", "format": {"type": "tag", "begin": "...", "content": ..., "end": ""}}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sglite.errors import RequestError
from sglite.grammar.expressions import Expression, literal
from sglite.grammar.regex_parser import parse_regex

PARAM = "structural_tag"
MAX_SOURCE_CHARS = 80


@dataclass(frozen=True, slots=True)
class Regular:
    """A plain text or a regular expression."""

    expression: Expression


@dataclass(frozen=True, slots=True)
class JsonContent:
    """A JSON value of a schema; messages call that ``source``."""

    schema: Any
    source: str = PARAM


@dataclass(frozen=True, slots=True)
class AnyText:
    """Any text; within a tag, up to the first place where its end stands."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """One format after the other."""

    elements: tuple[Format, ...]


@dataclass(frozen=True, slots=True)
class Options:
    """Any one of the formats."""

    options: tuple[Format, ...]


@dataclass(frozen=True, slots=True)
class Tag:
    """``content`` between two texts; any one of ``ends``."""

    begin: str
    content: Format
    ends: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TriggeredTags:
    """Any text, in which a trigger begins one of the tags that begin with it.

    ``at_least_one``: the text begins with a tag. ``stop_after_first``: it ends with the first.
    """

    triggers: tuple[str, ...]
    tags: tuple[Tag, ...]
    at_least_one: bool
    stop_after_first: bool


@dataclass(frozen=True, slots=True)
class SeparatedTags:
    """Tags alone, with a text between them."""

    tags: tuple[Tag, ...]
    separator: str
    at_least_one: bool
    stop_after_first: bool


Format = Regular | JsonContent | AnyText | Sequence | Options | Tag | TriggeredTags | SeparatedTags


def parse_structural_tag(parsed: Any) -> Format:
    """The format that a structural tag asks for. Raises RequestError naming what is wrong."""
    if not isinstance(parsed, dict) or parsed.get("type", "structural_tag") != "structural_tag":
        raise refusal('has to be an object with "type": "structural_tag"')
    if "format" in parsed:
        return _parse_format(parsed["format"])
    if "structures" not in parsed:
        raise refusal("needs structures with their triggers, or a format")
    structures = _listed(parsed, "structures")
    tags = [
        Tag(
            _text(structure, "begin"),
            JsonContent(_checked(structure).get("schema", True)),
            (_text(structure, "end"),),
        )
        for structure in structures
    ]
    return _triggered(parsed, tuple(tags))


def map_contents(part: Format, change: Callable[[JsonContent], JsonContent]) -> Format:
    """The same format with other JSON contents."""
    if isinstance(part, JsonContent):
        return change(part)
    if isinstance(part, Sequence):
        return Sequence(tuple(map_contents(element, change) for element in part.elements))
    if isinstance(part, Options):
        return Options(tuple(map_contents(option, change) for option in part.options))
    if isinstance(part, Tag):
        return _map_tag(part, change)
    if isinstance(part, TriggeredTags):
        tags = tuple(_map_tag(tag, change) for tag in part.tags)
        return TriggeredTags(part.triggers, tags, part.at_least_one, part.stop_after_first)
    if isinstance(part, SeparatedTags):
        tags = tuple(_map_tag(tag, change) for tag in part.tags)
        return SeparatedTags(tags, part.separator, part.at_least_one, part.stop_after_first)
    return part


def refusal(what: str) -> RequestError:
    """The error of a structural tag."""
    return RequestError(f"structural_tag {what}", param=PARAM)


def _map_tag(tag: Tag, change: Callable[[JsonContent], JsonContent]) -> Tag:
    return Tag(tag.begin, map_contents(tag.content, change), tag.ends)


def _parse_format(parsed: Any) -> Format:
    name = _checked(parsed).get("type")
    parse = _PARSERS.get(name) if isinstance(name, str) else None
    if parse is None:
        raise refusal(f"has a format of type {name!r}; possible are {', '.join(sorted(_PARSERS))}")
    return parse(parsed)


def _parse_const(parsed: dict[str, Any]) -> Format:
    text = _text(parsed, "value")
    return Regular(literal(text))


def _parse_schema(parsed: dict[str, Any]) -> Format:
    if parsed.get("style", "json") != "json":
        raise refusal(f"has a json_schema of style {parsed['style']!r}; only json is possible")
    source = _text(parsed, "source") if "source" in parsed else PARAM
    return JsonContent(parsed.get("json_schema", True), source[:MAX_SOURCE_CHARS])


def _parse_regex(parsed: dict[str, Any]) -> Format:
    return Regular(parse_regex(_text(parsed, "pattern"), param=PARAM))


def _parse_any_text(parsed: dict[str, Any]) -> Format:
    if parsed.get("excludes"):
        raise refusal("has any_text with excludes, which is not supported")
    return AnyText()


def _parse_sequence(parsed: dict[str, Any]) -> Format:
    return Sequence(tuple(_parse_format(part) for part in _listed(parsed, "elements")))


def _parse_or(parsed: dict[str, Any]) -> Format:
    return Options(tuple(_parse_format(part) for part in _listed(parsed, "elements")))


def _parse_tag(parsed: Any) -> Tag:
    ends = _checked(parsed).get("end")
    listed = tuple(ends) if isinstance(ends, list) and ends else (ends,)
    if not all(isinstance(end, str) for end in listed):
        raise refusal("has a tag whose end is not a text or a list of texts")
    content = _parse_format(parsed.get("content"))
    return Tag(_text(parsed, "begin"), content, tuple(str(end) for end in listed))


def _parse_triggered(parsed: dict[str, Any]) -> Format:
    tags = tuple(_parse_tag(tag) for tag in _listed(parsed, "tags"))
    return _triggered(parsed, tags)


def _parse_separated(parsed: dict[str, Any]) -> Format:
    tags = tuple(_parse_tag(tag) for tag in _listed(parsed, "tags"))
    at_least_one, stop_after_first = _flags(parsed)
    return SeparatedTags(tags, _text(parsed, "separator"), at_least_one, stop_after_first)


def _triggered(parsed: dict[str, Any], tags: tuple[Tag, ...]) -> TriggeredTags:
    triggers = tuple(_listed(parsed, "triggers"))
    if not all(isinstance(trigger, str) and trigger for trigger in triggers):
        raise refusal("has a trigger that is not a text of at least one character")
    for tag in tags:
        begun = [trigger for trigger in triggers if tag.begin.startswith(trigger)]
        if len(begun) != 1:
            raise refusal(
                f"has a tag that begins with {tag.begin!r}, with which {len(begun)} of its "
                "triggers begin; it has to be exactly one"
            )
    return TriggeredTags(triggers, tags, *_flags(parsed))


def _flags(parsed: dict[str, Any]) -> tuple[bool, bool]:
    flags = [parsed.get(name, False) for name in ("at_least_one", "stop_after_first")]
    if not all(isinstance(flag, bool) for flag in flags):
        raise refusal("has an at_least_one or stop_after_first that is not true or false")
    return flags[0], flags[1]


def _checked(parsed: Any) -> dict[str, Any]:
    if not isinstance(parsed, dict):
        raise refusal(f"has {str(parsed)[:80]!r} where an object has to be")
    return parsed


def _text(parsed: Any, name: str) -> str:
    value = _checked(parsed).get(name)
    if not isinstance(value, str):
        raise refusal(f"needs a text as {name}, not {str(value)[:80]!r}")
    return value


def _listed(parsed: dict[str, Any], name: str) -> list[Any]:
    value = parsed.get(name)
    if not isinstance(value, list) or not value:
        raise refusal(f"needs a list with at least one entry as {name}")
    return value


_PARSERS: dict[str, Callable[[dict[str, Any]], Format]] = {
    "const_string": _parse_const,
    "json_schema": _parse_schema,
    "regex": _parse_regex,
    "any_text": _parse_any_text,
    "sequence": _parse_sequence,
    "or": _parse_or,
    "tag": _parse_tag,
    "triggered_tags": _parse_triggered,
    "tags_with_separator": _parse_separated,
}
