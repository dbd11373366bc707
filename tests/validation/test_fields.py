"""Single values: strict types, finite numbers, closed ranges, short and harmless messages."""

from __future__ import annotations

import math

import pytest

from sglite.errors import RequestError
from sglite.validation import fields


def error_of(check, *args, **kwargs) -> RequestError:
    with pytest.raises(RequestError) as caught:
        check("field", *args, **kwargs)
    assert caught.value.param == "field"
    return caught.value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (9001, "9,001"),
        (10**400, "an integer of 1,329 bits"),
        (1.5, "1.5"),
        (math.nan, "nan"),
        ("a\nb\ud800", r"'a\nb\ud800'"),
        ("x" * 10**6, "'" + "x" * 40 + "'..."),
        ([1] * 10**6, "a list"),
        ({"a": 1}, "an object"),
        (b"x", "a bytes"),
    ],
    ids=fields.shown,
)
def test_values_are_shown_short_and_escaped(value, text):
    assert fields.shown(value) == text


@pytest.mark.parametrize("value", [True, 1.0, "1", None, [], {}, math.nan])
def test_integer_takes_integers_only(value):
    assert "must be an integer" in str(error_of(fields.integer, value, ge=0, le=5))


@pytest.mark.parametrize("value", [-1, 6, 2**63, 10**5000], ids=fields.shown)
def test_integer_has_a_closed_range(value):
    assert "must be from 0 to 5" in str(error_of(fields.integer, value, ge=0, le=5))
    assert [fields.integer("field", edge, ge=0, le=5) for edge in (0, 5)] == [0, 5]


@pytest.mark.parametrize("value", [True, "1", None, [], {}, 1j])
def test_number_takes_numbers_only(value):
    assert "must be a number" in str(error_of(fields.number, value))


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, 10**400, -(10**400)], ids=fields.shown
)
def test_number_is_finite(value):
    assert "finite" in str(error_of(fields.number, value))


def test_number_ranges_are_said_and_kept():
    assert "at least 0 and at most 1" in str(error_of(fields.number, -0.1, ge=0.0, le=1.0))
    assert "above 0 and at most 1" in str(error_of(fields.number, 0, gt=0.0, le=1.0))
    assert fields.number("field", 1, gt=0.0, le=1.0) == 1.0


def test_negative_zero_becomes_zero():
    assert math.copysign(1.0, fields.number("field", -0.0, ge=0.0)) == 1.0


@pytest.mark.parametrize("value", [0, 1, "true", None, []])
def test_boolean_takes_booleans_only(value):
    assert "true or false" in str(error_of(fields.boolean, value))
    assert fields.boolean("field", True) is True


@pytest.mark.parametrize("value", ["", "x" * 11, "\udc00", 5, None, b"x"], ids=fields.shown)
def test_string_is_short_non_empty_unicode(value):
    error_of(fields.string, value, max_length=10)
    assert fields.string("field", "\0\ufeffé", max_length=10) == "\0\ufeffé"


def test_strings_may_be_one_or_several():
    limits = {"max_items": 2, "max_length": 5}
    assert fields.strings("field", "a", **limits) == ("a",)
    assert fields.strings("field", ["a", "b"], **limits) == ("a", "b")
    assert fields.strings("field", [], **limits) == ()
    for value in (["a"] * 3, ["a", 1], {"a": 1}, 3, [["a"]]):
        error_of(fields.strings, value, **limits)


def test_integers_are_a_short_list():
    limits = {"max_items": 2, "ge": 0, "le": 9}
    assert fields.integers("field", [0, 9], **limits) == (0, 9)
    for value in ([1] * 3, [10], [True], "12", 1, {1: 2}):
        error_of(fields.integers, value, **limits)


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([0, -1], "holds -1; the token ids of this model are 0 to 9"),
        ([0, 10], "holds 10;"),
        ([2**31, 1], "holds 2,147,483,648;"),
        ([1, True], "integers only, got true"),
        ([1, 2.0], "integers only, got 2.0"),
        (["1"], "integers only, got '1'"),
        ([None], "integers only, got null"),
    ],
)
def test_token_ids_lie_in_the_vocabulary(ids, words):
    assert words in str(error_of(fields.token_ids, ids, vocab_size=10))


def test_edges_of_the_vocabulary_are_token_ids():
    fields.token_ids("field", [0, 9], vocab_size=10)
    fields.token_ids("field", [], vocab_size=10)
