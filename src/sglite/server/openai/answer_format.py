"""What an answer must look like: SGLang's fields, OpenAI's ``response_format``, vLLM's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sglite.errors import RequestError
from sglite.validation.fields import boolean, shown
from sglite.validation.grammars import GRAMMARS, check_one_grammar
from sglite.validation.sampling_params import CHECKS

ANY_OBJECT = '{"type":"object"}'
"""The schema of ``json_object``."""

GUIDED_FIELDS: Mapping[str, str] = {
    "guided_json": "json_schema",
    "guided_regex": "regex",
    "guided_choice": "choice",
    "guided_grammar": "ebnf",
}
"""vLLM's older fields and our parameters."""

STRUCTURED_KEYS: Mapping[str, str] = {
    "json": "json_schema",
    "regex": "regex",
    "choice": "choice",
    "grammar": "ebnf",
    "structural_tag": "structural_tag",
}
"""The keys of vLLM's ``structured_outputs`` and our parameters; ``json_object`` is another one."""

FORMAT_FIELDS = ("response_format", "structured_outputs", *GUIDED_FIELDS)
"""Fields beside our own parameters that say what an answer must look like."""

FORMAT_TYPES = ("text", "json_object", "json_schema", "structural_tag")


class AnswerFormat(NamedTuple):
    """A grammar: the ``field`` of the body that it came from, our parameter and its clean value.

    ``ignores_keywords``: parts of a schema that cannot be enforced are left out.
    """

    field: str
    name: str
    value: Any
    ignores_keywords: bool = False


def read_format(body: Mapping[str, Any]) -> AnswerFormat | None:
    """The one format that a body asks for. Raises RequestError, also where there are two."""
    found = [each for each in _formats(body) if each.value not in (None, ())]
    check_one_grammar({each.field: each.value for each in found})
    return found[0] if found else None


def _formats(body: Mapping[str, Any]) -> Iterator[AnswerFormat]:
    own = {name: name for name in GRAMMARS}
    for field, name in (own | dict(GUIDED_FIELDS)).items():
        if body.get(field) is not None:
            yield _checked(field, name, body[field])
    if body.get("response_format"):
        yield from _response_format("response_format", body["response_format"])
    if body.get("structured_outputs"):
        yield from _structured_outputs("structured_outputs", body["structured_outputs"])


def _checked(field: str, name: str, value: object, *, ignores: bool = False) -> AnswerFormat:
    return AnswerFormat(field, name, CHECKS[name](field, value), ignores)


def _response_format(field: str, value: object) -> Iterator[AnswerFormat]:
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(value, dict) or kind not in FORMAT_TYPES:
        raise RequestError(
            f"{field} must be an object whose type is one of {', '.join(FORMAT_TYPES)}, got "
            f"{shown(kind if isinstance(value, dict) else value)}",
            param=field,
        )
    if kind == "json_object":
        yield AnswerFormat(field, "json_schema", ANY_OBJECT)
    elif kind == "json_schema":
        yield _schema_format(field, value.get("json_schema"))
    elif kind == "structural_tag":
        yield _checked(field, "structural_tag", value)


def _schema_format(field: str, value: object) -> AnswerFormat:
    """``strict: false`` is a client's word for "as far as you can"; null is not."""
    path = f"{field}.json_schema"
    schema = value.get("schema") if isinstance(value, dict) else None
    if not isinstance(value, dict) or schema is None:
        raise RequestError(f"{path} must be an object with a schema", param=path)
    strict = value.get("strict")
    is_lax = strict is not None and not boolean(f"{path}.strict", strict)
    checked = _checked(f"{path}.schema", "json_schema", schema, ignores=is_lax)
    return checked._replace(field=field)


def _structured_outputs(field: str, value: object) -> Iterator[AnswerFormat]:
    if not isinstance(value, dict):
        raise RequestError(f"{field} must be an object, got {shown(value)}", param=field)
    for key, entry in value.items():
        path = f"{field}.{key[:64]}"
        if entry is None or entry is False:
            continue
        if key == "json_object":
            boolean(path, entry)
            yield AnswerFormat(path, "json_schema", ANY_OBJECT)
        elif key in STRUCTURED_KEYS:
            yield _checked(path, STRUCTURED_KEYS[key], entry)
        else:
            known = ", ".join((*STRUCTURED_KEYS, "json_object"))
            raise RequestError(f"{field} has no {shown(key)}; there are {known}", param=field)
