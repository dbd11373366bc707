from __future__ import annotations

import time
from typing import Any

import pytest

from sglite.call_options import KNOWN_OPTIONS, read_options, to_sampling_params
from sglite.errors import RequestError
from sglite.request import LogprobParams, SamplingParams
from sglite.validation.requests import RequestTraits


def test_nothing_given_means_nothing_special() -> None:
    assert read_options({}) == (None, RequestTraits())
    assert read_options(dict.fromkeys(KNOWN_OPTIONS)) == (None, RequestTraits())


def test_the_unknown_option_is_named_with_the_known_ones() -> None:
    with pytest.raises(RequestError, match=r"unknown option 'returnlogprob'.*return_logprob") as e:
        read_options({"returnlogprob": True})
    assert e.value.param == "returnlogprob"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"return_logprob": True}, LogprobParams()),
        ({"return_logprob": False}, None),
        ({"logprob_start_len": 0}, LogprobParams(start_len=0)),
        ({"logprob_start_len": -1}, None),
        ({"return_logprob": True, "logprob_start_len": -1}, LogprobParams()),
        ({"top_logprobs_num": 3}, LogprobParams(top_num=3)),
        ({"token_ids_logprob": [4, 5]}, LogprobParams(token_ids=(4, 5))),
    ],
)
def test_logprobs_are_wanted_if_any_option_says_so(
    options: dict[str, Any], expected: LogprobParams | None
) -> None:
    assert read_options(options)[0] == expected


def test_a_timeout_becomes_a_deadline_on_the_engines_clock() -> None:
    before = time.monotonic()
    deadline_s = read_options({"timeout_s": 100})[1].deadline_s
    assert deadline_s is not None
    assert before + 100 <= deadline_s <= time.monotonic() + 100


def test_every_salt_is_a_namespace_of_its_own() -> None:
    names = [read_options({"cache_salt": salt})[1].namespace for salt in ("a", "b", "salt a")]
    assert len({*names, ""}) == 4


def test_traits_are_passed_on() -> None:
    traits = read_options({"priority": -3, "pin_prefix": True})[1]
    assert (traits.priority, traits.pin_prefix) == (-3, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout_s", 0),
        ("timeout_s", -1.0),
        ("timeout_s", float("nan")),
        ("timeout_s", float("inf")),
        ("timeout_s", "5"),
        ("timeout_s", True),
        ("cache_salt", ""),
        ("cache_salt", 5),
        ("cache_salt", "x" * 300),
        ("cache_salt", "\ud800"),
        ("pin_prefix", 1),
        ("return_logprob", "yes"),
    ],
)
def test_a_bad_value_names_its_option(name: str, value: object) -> None:
    with pytest.raises(RequestError) as refusal:
        read_options({name: value})
    assert refusal.value.param == name
    assert name in str(refusal.value)


def test_sampling_params_come_as_object_dict_or_not_at_all() -> None:
    defaults = SamplingParams(temperature=0.3, top_k=7)
    own = SamplingParams(top_p=0.5)
    assert to_sampling_params(None, None) == SamplingParams()
    assert to_sampling_params(None, defaults) is defaults
    assert to_sampling_params(own, defaults) is own
    mixed = to_sampling_params({"top_k": 9}, defaults)
    assert (mixed.temperature, mixed.top_k) == (0.3, 9)
    with pytest.raises(RequestError, match="top_kk"):
        to_sampling_params({"top_kk": 9}, defaults)


@pytest.mark.parametrize("value", ["greedy", 5, ("temperature", 0)])
def test_sampling_params_of_another_kind_are_refused(value: object) -> None:
    with pytest.raises(RequestError):
        to_sampling_params(value, None)  # type: ignore[arg-type]
