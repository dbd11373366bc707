"""Rotary settings are read as transformers reads them; what is not known is refused by name."""

from __future__ import annotations

import pytest

from sglite.errors import ModelLoadError
from sglite.models.rope_config import context_length, rope_from_hf
from sglite.models.spec import RopeSpec
from tests.models.configs import make_hf_config

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def rope_of(**changes) -> RopeSpec:
    return rope_from_hf(make_hf_config(**changes))


def test_nothing_said_is_the_default_with_base_10000():
    assert rope_of() == RopeSpec(rope_type="default", theta=10000.0)


@pytest.mark.parametrize(
    "keys",
    [
        {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2}},
        {"rope_theta": 5e5, "rope_scaling": {"rope_type": "linear", "factor": 2.0}},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 5e5, "factor": 2.0}},
    ],
    ids=["old", "version-4", "version-5"],
)
def test_each_spelling_of_transformers_is_read(keys):
    assert rope_of(**keys) == RopeSpec(rope_type="linear", theta=5e5, factor=2.0)


def test_an_unknown_type_is_refused_by_name_with_those_supported():
    message = "'longrope' is not supported; supported are default, linear, dynamic, yarn, llama3"
    with pytest.raises(ModelLoadError, match=message):
        rope_of(rope_scaling={"rope_type": "longrope", "factor": 2.0})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rope_type": "linear"}, "factor of rope_type 'linear' is missing"),
        ({"rope_type": "dynamic", "factor": "2"}, "factor of rope_type 'dynamic' is '2'"),
        ({"rope_type": "linear", "factor": 0.5}, "is 0.5, expected >= 1"),
        ({"rope_type": "linear", "factor": True}, "is True, expected a number"),
        ({**LLAMA3, "low_freq_factor": None}, "low_freq_factor of rope_type 'llama3' is missing"),
        ({**LLAMA3, "low_freq_factor": 4.0}, "expected 0 < low < high"),
        ({**YARN, "truncate": 1}, "truncate of rope_type 'yarn' is 1"),
        ({"rope_type": "yarn"}, "factor of rope_type 'yarn' is missing"),
        ({**YARN, "original_max_position_embeddings": -1}, "expected an integer >= 1"),
        ({"rope_type": "default", "partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"rope_type": "default", "rope_theta": 1.0}, "rope_theta is 1.0"),
    ],
)
def test_a_bad_setting_is_refused_by_name(parameters, message):
    with pytest.raises(ModelLoadError, match=message):
        rope_of(rope_parameters=parameters)


def test_the_trained_length_is_taken_from_the_config_then_the_settings_then_the_maximum():
    unstated = {
        key: value for key, value in YARN.items() if key != "original_max_position_embeddings"
    }

    assert rope_of(rope_scaling=unstated).original_context_length == 256
    assert rope_of(rope_scaling=YARN).original_context_length == 64
    both = rope_of(rope_scaling=YARN, original_max_position_embeddings=32)
    assert both.original_context_length == 32


def test_dynamic_scaling_starts_at_the_maximum_of_the_config():
    rope = rope_of(rope_scaling={"rope_type": "dynamic", "factor": 2.0})

    assert rope.original_context_length == 256
    assert rope.depends_on_length
    assert not rope_of(rope_scaling=YARN).depends_on_length


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        (None, 256),
        ({"rope_type": "linear", "factor": 2.0}, 512),
        ({"rope_type": "dynamic", "factor": 4.0}, 1024),
        ({**YARN, "original_max_position_embeddings": 256}, 1024),
        (YARN, 256),
        (LLAMA3, 256),
    ],
)
def test_the_context_is_extended_by_the_factor_unless_the_maximum_includes_it(scaling, expected):
    hf = make_hf_config(rope_scaling=scaling)

    assert context_length(hf, rope_from_hf(hf)) == expected
