"""What Llama's config says, and what its absence means."""

from __future__ import annotations

import pytest

from sglite.errors import ModelLoadError
from sglite.models.llama import llama
from tests.models.configs import make_hf_config


def test_biases_follow_the_config():
    plain = llama(make_hf_config())
    biased = llama(make_hf_config(attention_bias=True, mlp_bias=True))

    assert (plain.qkv_bias, plain.o_bias, plain.mlp_bias) == (False, False, False)
    assert (biased.qkv_bias, biased.o_bias, biased.mlp_bias) == (True, True, True)


def test_absent_kv_heads_are_as_many_as_query_heads():
    assert llama(make_hf_config(num_key_value_heads=...)).num_kv_heads == 8


def test_head_dim_is_the_configs_or_hidden_size_over_heads():
    assert llama(make_hf_config()).head_dim == 8
    spec = llama(make_hf_config(head_dim=32))
    assert (spec.head_dim, spec.attention_scale) == (32, 32**-0.5)


def test_an_unknown_activation_is_refused_by_name():
    with pytest.raises(ModelLoadError, match="'relu' is not supported; supported are silu, gelu"):
        llama(make_hf_config(hidden_act="relu"))
