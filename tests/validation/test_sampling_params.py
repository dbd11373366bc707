"""Sampling parameters from outside: every field, every odd value."""

from __future__ import annotations

import dataclasses
import math

import pytest

from sglite.errors import RequestError
from sglite.request import SamplingParams
from sglite.validation import sampling_params_from_dict, validate_sampling_params
from sglite.validation.fields import shown
from sglite.validation.grammars import GRAMMARS
from sglite.validation.sampling_params import CHECKS, UNSUPPORTED

INT32_MAX = 2**31 - 1
INF, NAN = math.inf, math.nan
BOOLEANS = {
    "ignore_eos",
    "no_stop_trim",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "allow_ignored_schema_keywords",
}


def refusal(values: object, **kwargs) -> RequestError:
    with pytest.raises(RequestError) as caught:
        sampling_params_from_dict(values, **kwargs)
    str(caught.value).encode("ascii")
    assert len(str(caught.value)) < 1000
    return caught.value


# The odd values that each number may take; all others are refused. "max" is the field's maximum.
INTEGERS = {
    "max_new_tokens": (INT32_MAX, {0, INT32_MAX}),
    "min_new_tokens": (INT32_MAX, {0}),  # more than max_new_tokens otherwise
    "top_k": (INT32_MAX, {-1, INT32_MAX}),
    "sampling_seed": (2**63 - 1, {-1, 0, 2**31, 2**63 - 1}),
    "n": (128, {128}),
    "stream_interval": (INT32_MAX, {INT32_MAX}),
    "max_thinking_tokens": (INT32_MAX, {0, INT32_MAX}),
}
NUMBERS = {
    "temperature": (1e308, {0, 1e308, 2**31, 2**63, 10**20, 1e308 + 1}),
    "top_p": (1.0, {1.0}),
    "min_p": (1.0, {0, 1.0}),
    "frequency_penalty": (2.0, {-1, 0, 2.0}),
    "presence_penalty": (2.0, {-1, 0, 2.0}),
    "repetition_penalty": (2.0, {2.0}),
}
ODD = [-1, 0, -0.0, "max", "max+1", 2**31, 2**63, 10**20, 1e400, NAN, INF, "1", True, None, [], {}]
NUMERIC = INTEGERS | NUMBERS


@pytest.mark.parametrize("field", NUMERIC)
@pytest.mark.parametrize("value", ODD, ids=str)
def test_numeric_field_takes_or_names(field, value):
    largest, allowed = NUMERIC[field]
    if isinstance(value, str) and value.startswith("max"):
        value = largest + (value == "max+1")
    right_type = type(value) is int or (type(value) is float and field in NUMBERS)
    if value is None:
        assert sampling_params_from_dict({field: value}) == SamplingParams()
    elif right_type and value in allowed:
        assert getattr(sampling_params_from_dict({field: value}), field) == value
    else:
        error = refusal({field: value})
        assert error.param == field
        assert field in str(error)


@pytest.mark.parametrize("field", sorted(BOOLEANS))
@pytest.mark.parametrize("value", [*ODD, "true", ""], ids=str)
def test_boolean_field_takes_or_names(field, value):
    if value is None or type(value) is bool:
        sampling_params_from_dict({field: value})
    else:
        assert refusal({field: value}).param == field


@pytest.mark.parametrize("field", ["stop", "stop_regex", "stop_token_ids", "logit_bias"])
@pytest.mark.parametrize("value", [v for v in ODD if v not in ("1", "max", "max+1")], ids=str)
def test_collection_field_takes_or_names(field, value):
    is_empty_collection = value == ({} if field == "logit_bias" else [])
    if value is None or is_empty_collection:
        assert not getattr(sampling_params_from_dict({field: value}), field)
    else:
        assert refusal({field: value}).param == field


def test_every_parameter_is_in_one_of_the_tables():
    collections = {"stop", "stop_regex", "stop_token_ids", "logit_bias", *GRAMMARS}
    names = {field.name for field in dataclasses.fields(SamplingParams)}
    assert names == set(CHECKS) == set(NUMERIC) | BOOLEANS | collections


@pytest.mark.parametrize("text", ["", "\ud800", "x" * 10**6], ids=shown)
@pytest.mark.parametrize("field", ["stop", "stop_regex"])
def test_odd_stop_strings_are_refused(field, text):
    assert refusal({field: text}).param == field
    assert refusal({field: ["ok", text]}).param == field


def test_stop_strings_within_their_limits_are_taken():
    stops = ["\0", "\ufeff", "é" * 256, *"abcdefghijklm"]
    assert sampling_params_from_dict({"stop": stops}).stop == tuple(stops)
    assert "at most 16" in str(refusal({"stop": [*stops, "z"]}))
    assert sampling_params_from_dict({"stop": "END"}).stop == ("END",)


@pytest.mark.parametrize(
    "pattern", ["(", "a{2,1}", "[", "*", r"\1", "(?P<x>a)(?P<x>b)", "x" * 300], ids=shown
)
def test_bad_regex_is_refused(pattern):
    assert refusal({"stop_regex": pattern}).param == "stop_regex"


@pytest.mark.parametrize("pattern", [r"\d+\.", "[[a]", "(a|b)*c"])
def test_good_regex_is_taken_without_a_warning(pattern):
    assert sampling_params_from_dict({"stop_regex": pattern}).stop_regex == (pattern,)


def test_logit_bias_keys_are_token_ids_in_digits_or_numbers():
    params = sampling_params_from_dict({"logit_bias": {"15": 1, 7: -2.5}})
    assert params.logit_bias == {15: 1.0, 7: -2.5}


@pytest.mark.parametrize(
    "key",
    ["-1", "1.0", "", "a", " 1", "²", "9" * 5000, -1, 1.0, True, None, 2**31, "2147483648"],
    ids=shown,
)
def test_logit_bias_refuses_other_keys(key):
    assert refusal({"logit_bias": {key: 1.0}}).param == "logit_bias"


@pytest.mark.parametrize("bias", [NAN, INF, -INF, 1e39, "1", None, True, []])
def test_logit_bias_refuses_other_values(bias):
    assert refusal({"logit_bias": {"1": bias}}).param == "logit_bias"


def test_logit_bias_is_bounded_and_names_a_token_once():
    assert len(sampling_params_from_dict({"logit_bias": dict.fromkeys(range(1024), 0)}).logit_bias)
    assert "1,024" in str(refusal({"logit_bias": dict.fromkeys(range(1025), 0)}))
    assert "twice" in str(refusal({"logit_bias": {"7": 1, 7: 2}}))


@pytest.mark.parametrize("ids", [[-1], [2**31], [True], ["1"], [1.0], [None], "12", [1] * 1025])
def test_stop_token_ids_refuse_what_is_no_id(ids):
    assert refusal({"stop_token_ids": ids}).param == "stop_token_ids"


def test_minimum_may_not_exceed_the_maximum():
    assert sampling_params_from_dict({"min_new_tokens": 5, "max_new_tokens": 5})
    error = refusal({"min_new_tokens": 6, "max_new_tokens": 5})
    assert str(error) == "min_new_tokens is 6, more than max_new_tokens (5)"
    assert error.param == "min_new_tokens"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("max_tokens", "max_new_tokens"),
        ("temperature_", "temperature"),
        ("topk", "top_k"),
        ("seed", "sampling_seed"),
    ],
)
def test_unknown_parameter_is_named_with_the_nearest_and_all(name, nearest):
    error = refusal({name: 1})
    assert error.param == name
    assert f"unknown sampling parameter '{name}'; did you mean '{nearest}'?" in str(error)
    assert all(valid in str(error) for valid in CHECKS)


@pytest.mark.parametrize("name", ["", "x" * 10**6, "\ud800\r\n", 5, None], ids=shown)
def test_odd_parameter_names_are_refused_in_harmless_words(name):
    error = refusal({name: 1})
    assert error.param is not None and error.param.isprintable() and error.param.isascii()


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported_parameter_is_refused_unless_unset(name):
    assert refusal({name: {"type": "object"}}).param == name
    assert "not supported yet" in str(refusal({name: "x"}))
    assert sampling_params_from_dict({name: None}) == SamplingParams()
    assert sampling_params_from_dict({name: ""}) == SamplingParams()


@pytest.mark.parametrize("values", [None, [], "x", 5, [("n", 1)]])
def test_parameters_are_an_object(values):
    assert refusal(values).param == "sampling_params"


def test_missing_and_null_come_from_the_defaults():
    defaults = SamplingParams(temperature=0.6, top_k=20, max_new_tokens=None)
    params = sampling_params_from_dict({"temperature": None, "top_p": 0.5}, defaults=defaults)
    assert params == dataclasses.replace(defaults, top_p=0.5)
    assert sampling_params_from_dict({}) == SamplingParams()


def test_everything_at_once_is_read():
    values = {
        "max_new_tokens": 9,
        "min_new_tokens": 1,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.05,
        "frequency_penalty": 0.1,
        "presence_penalty": -0.2,
        "repetition_penalty": 1.1,
        "logit_bias": {3: 1.0},
        "sampling_seed": -3,
        "n": 2,
        "stop": ("a", "b"),
        "stop_regex": ("c+",),
        "stop_token_ids": (4, 5),
        "ignore_eos": True,
        "no_stop_trim": True,
        "skip_special_tokens": False,
        "spaces_between_special_tokens": False,
        "stream_interval": 4,
        "json_schema": '{"type":"object"}',
        "allow_ignored_schema_keywords": True,
        "max_thinking_tokens": 7,
    }
    others = set(GRAMMARS) - {"json_schema"}  # there is one grammar at most
    assert set(values) == set(CHECKS) - others
    unset = {"regex": None, "ebnf": None, "choice": (), "structural_tag": None}
    assert dataclasses.asdict(sampling_params_from_dict(values)) == values | unset


def test_object_made_directly_is_checked_too():
    params = SamplingParams(temperature=math.nan)
    with pytest.raises(RequestError, match="temperature must be a finite number"):
        validate_sampling_params(params)
    with pytest.raises(RequestError, match="sampling_params must be SamplingParams"):
        validate_sampling_params({"temperature": 1.0})


def test_object_made_directly_keeps_unlimited_and_gets_its_lists_in_order():
    params = SamplingParams(max_new_tokens=None, stop="END", stop_token_ids=[3])
    assert validate_sampling_params(params) == SamplingParams(
        max_new_tokens=None, stop=("END",), stop_token_ids=(3,)
    )
    assert validate_sampling_params(SamplingParams()) == SamplingParams()
