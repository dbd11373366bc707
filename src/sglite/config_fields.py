"""How a dataclass field becomes an option: its type, range, spellings and help text.

Knows nothing of what the options mean; :mod:`sglite.config` states them.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import math
import os
import sys
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

from sglite.errors import ConfigError

_WORDS_FOR_TRUE = {"1", "true", "yes", "on"}
_WORDS_FOR_FALSE = {"0", "false", "no", "off"}
_WORDS_FOR_NONE = {"none", "null"}
_MARKS = "-/_"
_OPEN = "open"

T = TypeVar("T")
Settled = Annotated[T, _OPEN]
"""Type of an option that is None, "unset", until ``resolve`` settles it, and a ``T`` from then on.

For type checkers it is a ``T``: what runs after ``resolve`` need not ask. What runs before must.
"""


@dataclass(frozen=True, slots=True)
class TextForm:
    """What a text must look like. ``read`` gives it in its one spelling, None where it is wrong.

    ``words`` say what is right, as in "give one of auto or cpu".
    """

    words: str
    read: Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Limits:
    """The range of a number: at least, at most, above."""

    ge: float | None = None
    le: float | None = None
    gt: float | None = None

    def allow(self, value: float) -> bool:
        """True where ``value`` lies in the range."""
        return (
            (self.ge is None or value >= self.ge)
            and (self.le is None or value <= self.le)
            and (self.gt is None or value > self.gt)
        )

    def describe(self) -> str:
        """The range in words, after a comma; empty where there is none."""
        parts = [
            f"{word} {limit:g}"
            for word, limit in (("at least", self.ge), ("above", self.gt), ("at most", self.le))
            if limit is not None
        ]
        return ", " + " and ".join(parts) if parts else ""


def option(
    default: Any,
    *,
    aliases: tuple[str, ...] = (),
    spellings: dict[str, str] | None = None,
    ge: float | None = None,
    le: float | None = None,
    gt: float | None = None,
    form: TextForm | None = None,
    why_not: Callable[[Any], str | None] | None = None,
    is_secret: bool = False,
    is_list: bool = False,
) -> Any:
    """A dataclass field that is an option.

    ``aliases`` are other names of the flag, ``spellings`` other words for a choice; the limits
    bound a number, the ``form`` a text. ``why_not`` says in words why a refused value is, None
    where it cannot tell. What ``is_secret`` is never shown. ``is_list``: the flag takes several
    words, which are joined by blanks.
    """
    metadata = {
        "aliases": aliases,
        "spellings": spellings or {},
        "limits": Limits(ge, le, gt),
        "form": form,
        "why_not": why_not,
        "is_secret": is_secret,
        "is_list": is_list,
    }
    return dataclasses.field(default=default, metadata=metadata, repr=not is_secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionField:
    """One option as the faces see it: flag, environment variable, check, row of the docs."""

    name: str
    kind: type
    is_optional: bool
    is_settled: bool
    choices: tuple[Any, ...]
    default: Any
    aliases: tuple[str, ...]
    spellings: dict[str, str]
    limits: Limits
    form: TextForm | None
    why_not: Callable[[Any], str | None] | None
    is_secret: bool
    is_list: bool
    help: str
    group: str

    @property
    def flags(self) -> list[str]:
        """The flag and its other spellings, the canonical one first."""
        return [f"--{name.replace('_', '-')}" for name in (self.name, *self.aliases)]

    @property
    def keywords(self) -> list[str]:
        """The keyword of ``LLM(...)`` and its other spellings, the canonical one first."""
        return [self.name, *(alias.replace("-", "_") for alias in self.aliases)]

    @property
    def environment(self) -> str:
        """Name of the environment variable."""
        return f"SGLITE_{self.name.upper()}"

    @property
    def allowed(self) -> str:
        """What a value may be, in words."""
        if self.choices:
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        if self.form is not None:
            return self.form.words
        words = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
        none = ", or none" if self.is_optional and self.kind is not str else ""
        return f"{words[self.kind]}{self.limits.describe()}{none}"

    def check(self, value: Any, *, label: str | None = None) -> Any:
        """``value`` in the option's own type, e.g. 1.0 for 1; ConfigError where it does not fit.

        ``label`` is what the message calls the option; unset, its keyword.
        """
        if value is None and self.is_optional:
            return None
        converted = self._convert(value)
        if converted is None:
            reason = self.why_not(value) if self.why_not is not None else None
            if reason is not None:
                raise ConfigError(f"{label or self.name}: {reason}")
            shown = "this" if self.is_secret else f"{value!r:.80}"
            raise ConfigError(f"{label or self.name}: {shown} is not allowed; give {self.allowed}")
        return converted

    def parse(self, text: str, *, label: str) -> Any:
        """The value that a flag or variable spells; ConfigError where it spells none."""
        return self.check(self._read(text.strip()), label=label)

    def _convert(self, value: Any) -> Any:
        if self.choices:
            value = self.spellings.get(value, value) if isinstance(value, str) else value
            known = any(value == choice and type(value) is type(choice) for choice in self.choices)
            return value if known else None
        if self.kind is bool:
            return value if isinstance(value, bool) else None
        if self.kind is str:
            return self._convert_text(value)
        return self._convert_number(value)

    def _convert_text(self, value: Any) -> Any:
        text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
        if self.form is None or not isinstance(text, str):
            return text
        return self.form.read(text)

    def _convert_number(self, value: Any) -> Any:
        accepted = int if self.kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, accepted):
            return None
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return self.kind(value) if self.limits.allow(value) else None

    def _read(self, text: str) -> Any:
        word = text.lower()
        if self.is_optional and self.kind is not str and word in _WORDS_FOR_NONE:
            return None
        if self.kind is bool and word in _WORDS_FOR_TRUE | _WORDS_FOR_FALSE:
            return word in _WORDS_FOR_TRUE
        if self.kind in (int, float):
            try:
                return self.kind(text)
            except ValueError:
                return text
        return text


def option_fields(options: type) -> dict[str, OptionField]:
    """Every option of a dataclass by name, in the order of the source."""
    return _read_fields(options)


@lru_cache(maxsize=32)
def _read_fields(options: type) -> dict[str, OptionField]:
    hints = typing.get_type_hints(options, include_extras=True)
    groups = [base for base in options.__mro__ if inspect.get_annotations(base)]
    fields = {field.name: field for field in dataclasses.fields(options)}
    owners = {name: base for base in reversed(groups) for name in inspect.get_annotations(base)}
    ordered = sorted(fields, key=lambda name: options.__mro__.index(owners[name]))
    return {
        name: _describe_field(fields[name], hints[name], owner=owners[name]) for name in ordered
    }


def _describe_field(field: dataclasses.Field[Any], hint: Any, *, owner: type) -> OptionField:
    kind, is_optional, choices = _read_hint(hint)
    return OptionField(
        name=field.name,
        kind=kind,
        is_optional=is_optional,
        is_settled=typing.get_origin(hint) is Annotated,
        choices=choices,
        default=field.default,
        aliases=field.metadata["aliases"],
        spellings=field.metadata["spellings"],
        limits=field.metadata["limits"],
        form=field.metadata["form"],
        why_not=field.metadata["why_not"],
        is_secret=field.metadata["is_secret"],
        is_list=field.metadata["is_list"],
        help=attribute_docstrings(owner.__module__).get((owner.__name__, field.name), ""),
        group=owner.__name__,
    )


def _read_hint(hint: Any) -> tuple[type, bool, tuple[Any, ...]]:
    """``(type, may it be None, choices)`` of ``int``, ``int | None``, ``Literal[...]`` and of each
    as :data:`Settled`.
    """
    is_optional = False
    if typing.get_origin(hint) is Annotated:
        hint, is_optional = hint.__origin__, _OPEN in hint.__metadata__
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        members = [member for member in typing.get_args(hint) if member is not type(None)]
        is_optional |= len(members) < len(typing.get_args(hint))
        hint = members[0]
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        return type(choices[0]), is_optional, choices
    return hint, is_optional, ()


@lru_cache(maxsize=8)
def attribute_docstrings(module_name: str) -> dict[tuple[str, str], str]:
    """``(class, field) -> the string under the field`` of a module, read from its source.

    Python keeps no such strings. Without the source (a zip of .pyc files) help texts are empty.
    """
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module_name]))
    except (OSError, TypeError):
        return {}
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found.update({(node.name, name): text for name, text in _field_docstrings(node)})
    return found


def _field_docstrings(node: ast.ClassDef) -> Iterable[tuple[str, str]]:
    for statement, after in zip(node.body, node.body[1:], strict=False):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(after, ast.Expr):
            continue
        if isinstance(statement.target, ast.Name) and isinstance(after.value, ast.Constant):
            yield statement.target.id, " ".join(str(after.value.value).split())


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The one candidate that begins with ``word``, or the one most like it; None where none is.

    Marks in front, such as dashes, count as no likeness.
    """
    import difflib

    by_letters = {candidate.lstrip(_MARKS): candidate for candidate in sorted(set(candidates))}
    letters = word.lstrip(_MARKS)
    longer = [each for each in by_letters if letters and each.startswith(letters)]
    if len(longer) == 1:
        return by_letters[longer[0]]
    matches = difflib.get_close_matches(letters, by_letters, n=1, cutoff=0.6)
    return by_letters[matches[0]] if matches else None
