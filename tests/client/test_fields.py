"""What is asked of a server is what was said, no more."""

from __future__ import annotations

import pytest

from sglite.client.fields import sampling_fields
from sglite.errors import RequestError
from sglite.request import SamplingParams


def test_nothing_said_leaves_all_to_the_server():
    assert sampling_fields(None) == {}
    assert sampling_fields({}) == {}


def test_a_mapping_states_what_is_in_it_even_a_default():
    asked = {"temperature": 1.0, "max_new_tokens": 5, "stop": "x", "sampling_seed": None}
    assert sampling_fields(asked) == {"temperature": 1.0, "max_tokens": 5, "stop": ["x"]}


def test_an_object_states_what_every_server_knows_and_what_differs():
    assert sampling_fields(SamplingParams()) == {
        "temperature": 1.0,
        "top_p": 1.0,
        "max_tokens": 128,
    }
    params = SamplingParams(max_new_tokens=None, sampling_seed=3, min_new_tokens=2, top_k=5)
    assert sampling_fields(params) == {
        "temperature": 1.0,
        "top_p": 1.0,
        "seed": 3,
        "min_tokens": 2,
        "top_k": 5,
    }


def test_biases_are_keyed_by_text_as_json_wants_it():
    assert sampling_fields({"logit_bias": {42: -1.5}}) == {"logit_bias": {"42": -1.5}}


def test_an_unknown_parameter_is_refused_here():
    with pytest.raises(RequestError, match="temprature"):
        sampling_fields({"temprature": 1.0})
