"""What a program appends to its state: text, calls of the model, roles; data alone.

    s += "Q: " + question + "\\n" + gen("answer", stop="\\n")

Expressions are joined by ``+``, also with text. Nothing runs before one is appended to a state.
Names and arguments are those of SGLang's frontend.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sglite.errors import RequestError
from sglite.lang.choices import ChoicesMethod, token_length_normalized

REGEX_OF_DTYPE: Mapping[str, str] = {
    "int": r"[-+]?[0-9]+[ \n]*",
    "float": r"[-+]?[0-9]*\.?[0-9]+[ \n]*",
    "bool": r"(True|False)",
    "str": r'"[\w\d\s]*"',
}
"""What ``gen(dtype=...)`` lets the model say; the variable is text all the same, as in SGLang."""

STOPS_OF_DTYPE: Mapping[str, tuple[str, ...]] = {"int": (" ", "\n"), "float": (" ", "\n")}
"""A number ends where a blank follows it, which then is not part of the answer."""

SAMPLING_NAMES = {"max_tokens": "max_new_tokens", "min_tokens": "min_new_tokens"}
"""Arguments of ``gen`` whose sampling parameters are called otherwise."""

ANSWER_OPTIONS = frozenset({"return_logprob", "logprob_start_len", "top_logprobs_num"})
"""Arguments that say what is told of an answer, not how it is sampled."""


class Expression:
    """Anything that can be appended to a state."""

    def __add__(self, other: Expression | str) -> Joined:
        return Joined((*_parts(self), *_parts(other)))

    def __radd__(self, other: Expression | str) -> Joined:
        return Joined((*_parts(other), *_parts(self)))

    @property
    def names(self) -> tuple[str, ...]:
        """The variables that it sets."""
        return ()


@dataclass(frozen=True, slots=True)
class Text(Expression):
    """Plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class Joined(Expression):
    """Expressions one after the other."""

    parts: tuple[Expression, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The variables of all parts."""
        return tuple(name for part in self.parts for name in part.names)


@dataclass(frozen=True, slots=True)
class Gen(Expression):
    """The model continues. ``sampling`` and ``options`` hold only what was said."""

    name: str | None
    sampling: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Its variable."""
        return () if self.name is None else (self.name,)


@dataclass(frozen=True, slots=True)
class Select(Expression):
    """The model's favourite of ``choices``."""

    name: str | None
    choices: tuple[str, ...]
    method: ChoicesMethod

    @property
    def names(self) -> tuple[str, ...]:
        """Its variable."""
        return () if self.name is None else (self.name,)


@dataclass(frozen=True, slots=True)
class RoleBegin(Expression):
    """A message of ``role`` begins."""

    role: str


@dataclass(frozen=True, slots=True)
class RoleEnd(Expression):
    """The message of ``role`` ends."""

    role: str


@dataclass(frozen=True, slots=True)
class ScopeBegin(Expression):
    """The text from here on is to become a variable."""

    name: str

    @property
    def names(self) -> tuple[str, ...]:
        """The variable; it is waited for from here on."""
        return (self.name,)


@dataclass(frozen=True, slots=True)
class ScopeEnd(Expression):
    """The variable's text ends here."""

    name: str


def gen(
    name: str | None = None,
    max_tokens: int | None = None,
    *,
    stop: str | Sequence[str] | None = None,
    regex: str | None = None,
    json_schema: str | Mapping[str, Any] | None = None,
    dtype: type | str | None = None,
    choices: Sequence[str] | None = None,
    choices_method: ChoicesMethod = token_length_normalized,
    **sampling: Any,
) -> Expression:
    """The model continues the text; its answer becomes the variable ``name``.

    ``regex``, ``json_schema`` or ``dtype`` (int, float, bool, str) say what the answer must look
    like; with ``choices`` it is :func:`select`. The others are SGLang's sampling parameters
    (``temperature``, ``top_p``, ``top_k``, ``stop_regex``, ``n``, ...) and ``return_logprob``,
    ``logprob_start_len``, ``top_logprobs_num``. What is not said comes from ``run``. With ``n`` the
    variable is a list, and the text goes on with the first. Raises RequestError for a bad
    combination; values are checked when the model is asked.
    """
    if choices is not None:
        return select(name, choices, choices_method=choices_method)
    shapes = [each for each in (regex, json_schema, dtype) if each is not None]
    if len(shapes) > 1:
        raise RequestError("gen takes one of regex, json_schema and dtype", param="regex")
    stops = [stop] if isinstance(stop, str) else list(stop or ())
    if dtype is not None:
        word = dtype if isinstance(dtype, str) else dtype.__name__
        if word not in REGEX_OF_DTYPE:
            known = ", ".join(REGEX_OF_DTYPE)
            raise RequestError(f"dtype is one of {known}, got {word!r:.40}", param="dtype")
        regex, stops = REGEX_OF_DTYPE[word], stops + list(STOPS_OF_DTYPE.get(word, ()))
    if isinstance(json_schema, Mapping):
        json_schema = json.dumps(json_schema)
    given = {
        "max_tokens": max_tokens,
        "stop": stops or None,
        "regex": regex,
        "json_schema": json_schema,
        **sampling,
    }
    sampling, options = split_settings(given)
    return Gen(name, sampling, options)


def gen_int(name: str | None = None, max_tokens: int | None = None, **sampling: Any) -> Expression:
    """:func:`gen` of a whole number."""
    return gen(name, max_tokens, dtype=int, **sampling)


def gen_string(
    name: str | None = None, max_tokens: int | None = None, **sampling: Any
) -> Expression:
    """:func:`gen` of a text in quotation marks."""
    return gen(name, max_tokens, dtype=str, **sampling)


def select(
    name: str | None = None,
    choices: Sequence[str] | None = None,
    temperature: float = 0.0,
    *,
    choices_method: ChoicesMethod = token_length_normalized,
) -> Expression:
    """The choice that the model holds most likely here; it becomes the text and the variable.

    Every choice is scored after the same prefix, which is computed once. Nothing is drawn:
    ``temperature`` is there because SGLang has it, and must be 0. Raises RequestError.
    """
    if isinstance(choices, str) or not choices or not all(choices):
        raise RequestError("choices must be a list of texts that are not empty", param="choices")
    if temperature > 1e-5:
        raise RequestError("select takes the likeliest: temperature is 0", param="temperature")
    return Select(name, tuple(choices), choices_method)


def system(content: Expression | str | None = None) -> Expression:
    """A message of the system."""
    return message("system", content)


def user(content: Expression | str | None = None) -> Expression:
    """A message of the user."""
    return message("user", content)


def assistant(content: Expression | str | None = None) -> Expression:
    """A message of the assistant."""
    return message("assistant", content)


def system_begin() -> Expression:
    """Begin a message of the system."""
    return RoleBegin("system")


def system_end() -> Expression:
    """End it."""
    return RoleEnd("system")


def user_begin() -> Expression:
    """Begin a message of the user."""
    return RoleBegin("user")


def user_end() -> Expression:
    """End it."""
    return RoleEnd("user")


def assistant_begin() -> Expression:
    """Begin a message of the assistant."""
    return RoleBegin("assistant")


def assistant_end() -> Expression:
    """End it."""
    return RoleEnd("assistant")


def message(role: str, content: Expression | str | None) -> Expression:
    """A whole message."""
    return Joined((RoleBegin(role), *_parts("" if content is None else content), RoleEnd(role)))


def split_settings(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """``(sampling, options)`` of what was said, under the names of sampling parameters."""
    sampling: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for name, value in given.items():
        if value is not None:
            kind = options if name in ANSWER_OPTIONS else sampling
            kind[SAMPLING_NAMES.get(name, name)] = value
    return sampling, options


def _parts(value: Expression | str) -> tuple[Expression, ...]:
    if isinstance(value, Joined):
        return value.parts
    return (as_expression(value),)


def as_expression(value: object) -> Expression:
    """``value`` as an expression. Raises TypeError for what is neither text nor expression."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, str):
        return Text(value)
    raise TypeError(f"a state takes text and expressions such as gen(), not {type(value).__name__}")
