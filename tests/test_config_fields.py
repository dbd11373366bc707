from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from sglite.config_fields import (
    Limits,
    Settled,
    TextForm,
    attribute_docstrings,
    nearest,
    option,
    option_fields,
)
from sglite.errors import ConfigError


@dataclass(frozen=True)
class Base:
    shared: int = option(1)
    """In the base."""


def read_word(text: str) -> str | None:
    return text.lower() if text.lower() in ("a", "b") else None


@dataclass(frozen=True)
class Sample(Base):
    count: int = option(3, ge=1, le=5, aliases=("how-many",))
    """How many.
    On two lines."""
    share: float | None = option(None, gt=0, le=1)
    """A share."""
    name: str | None = option(None)
    """A name."""
    loud: bool = option(False)
    """Loud or not."""
    kind: Literal["small", "large"] = option("small", spellings={"big": "large"})
    """A choice."""
    one: Literal[1] = option(1)
    """A choice of numbers."""
    later: Settled[int] = option(None, ge=1)
    """A number that is settled later."""
    word: str = option("a", form=TextForm("a or b", read_word))
    """A text with a form."""


FIELDS = option_fields(Sample)


def test_help_is_the_string_under_the_field_on_one_line():
    assert FIELDS["count"].help == "How many. On two lines."
    assert FIELDS["shared"].help == "In the base."


def test_fields_of_the_class_come_before_those_of_its_bases():
    assert list(FIELDS) == [
        "count",
        "share",
        "name",
        "loud",
        "kind",
        "one",
        "later",
        "word",
        "shared",
    ]


def test_names_of_an_option():
    field = FIELDS["count"]
    assert field.flags == ["--count", "--how-many"]
    assert field.keywords == ["count", "how_many"]
    assert field.environment == "SGLITE_COUNT"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("count", 5, 5),
        ("share", 1, 1.0),
        ("share", None, None),
        ("name", Path("a/b"), "a/b"),
        ("loud", True, True),
        ("kind", "big", "large"),
        ("one", 1, 1),
    ],
)
def test_allowed_values_come_in_the_options_type(name, value, expected):
    checked = FIELDS[name].check(value)
    assert checked == expected and type(checked) is type(expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", 0),
        ("count", 6),
        ("count", True),
        ("count", 2.0),
        ("count", "3"),
        ("count", None),
        ("share", 0),
        ("share", float("nan")),
        ("share", float("inf")),
        ("share", 10**400),
        ("name", 7),
        ("name", b"bytes"),
        ("loud", 1),
        ("loud", "true"),
        ("kind", "tiny"),
        ("kind", ["small"]),
        ("one", True),
        ("one", 2),
        ("word", "c"),
        ("word", 1),
        ("later", "1"),
    ],
)
def test_other_values_are_refused_by_name_value_and_what_is_allowed(name, value):
    with pytest.raises(ConfigError) as caught:
        FIELDS[name].check(value)
    message = str(caught.value)
    assert message.startswith(f"{name}: {repr(value)[:80]}")
    assert message.endswith(f"give {FIELDS[name].allowed}")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("count", " 2 ", 2),
        ("share", "0.5", 0.5),
        ("share", "none", None),
        ("name", "none", "none"),
        ("loud", "Yes", True),
        ("loud", "0", False),
        ("kind", "big", "large"),
        ("one", "1", 1),
    ],
)
def test_texts_are_read_by_the_options_type(name, text, expected):
    assert FIELDS[name].parse(text, label="x") == expected


@pytest.mark.parametrize("text", ["many", "2.5", "", "9" * 5000, "nan"])
def test_text_that_spells_no_value_is_refused_under_its_label(text):
    with pytest.raises(
        ConfigError, match=r"^--count: .{1,85} is not allowed; give an integer, at least"
    ):
        FIELDS["count"].parse(text, label="--count")


def test_what_is_settled_later_is_none_until_then_and_checked_like_its_type():
    field = FIELDS["later"]
    assert (field.kind, field.is_optional, field.is_settled) == (int, True, True)
    assert field.check(None) is None and field.parse("none", label="x") is None
    assert field.allowed == "an integer, at least 1, or none"
    with pytest.raises(ConfigError):
        field.check(0)
    assert not FIELDS["share"].is_settled


def test_a_text_with_a_form_is_read_to_its_one_spelling():
    word = FIELDS["word"]
    assert (word.check("B"), word.parse("a", label="x"), word.allowed) == ("b", "a", "a or b")


def test_limits_in_words():
    assert Limits(ge=1, le=5).describe() == ", at least 1 and at most 5"
    assert Limits().describe() == ""


def test_module_without_source_has_no_help():
    assert attribute_docstrings("builtins") == {}


def test_nearest_is_none_where_nothing_is_near():
    assert nearest("page_sise", ["page_size", "seed"]) == "page_size"
    assert nearest("zzzzqqq", ["page_size", "seed"]) is None
    assert nearest("--frobnicate", ["--page-size", "--prompt"]) is None


def test_nearest_is_the_one_that_goes_on_from_here():
    flags = ["--temperature", "--top-p", "--top-k", "--max-new-tokens"]
    assert nearest("--temp", flags) == "--temperature"
    assert nearest("--top", flags) in ("--top-p", "--top-k")
    assert nearest("--", flags) is None
