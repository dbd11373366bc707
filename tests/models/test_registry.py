"""An architecture is known by its name or refused with the list of those that are."""

from __future__ import annotations

import pytest

from sglite.errors import ModelLoadError
from sglite.models.registry import register, spec_from_hf, supported_architectures
from tests.models.configs import make_hf_config

ARCHITECTURES = [
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
]


def test_the_supported_architectures_are_these():
    assert supported_architectures() == ARCHITECTURES


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_reads_a_config_of_its_name(architecture):
    spec = spec_from_hf(make_hf_config(architecture))

    assert spec.architecture == architecture
    assert (spec.num_layers, spec.num_attention_heads, spec.num_kv_heads) == (4, 8, 2)


def test_an_unknown_architecture_is_refused_by_name_with_those_supported():
    message = "'GPT2LMHeadModel' is not supported; supported are LlamaForCausalLM, Mistral"
    with pytest.raises(ModelLoadError, match=message):
        spec_from_hf(make_hf_config("GPT2LMHeadModel"))


def test_a_name_is_registered_once():
    with pytest.raises(AssertionError, match="registered twice"):
        register("LlamaForCausalLM")(spec_from_hf)


@pytest.mark.parametrize("key", ["vocab_size", "hidden_size", "rms_norm_eps", "intermediate_size"])
def test_a_required_key_that_is_missing_is_named(key):
    with pytest.raises(ModelLoadError, match=key):
        spec_from_hf(make_hf_config(**{key: ...}))
