"""Groups of layers by what they keep, and the count of weights."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sglite.kvcache.groups import KVGroup
from sglite.models.registry import spec_from_hf
from tests.models.configs import make_hf_config

SPEC = spec_from_hf(make_hf_config())


def test_layers_without_windows_are_one_full_group():
    assert SPEC.kv_groups() == (KVGroup("paged_full", (0, 1, 2, 3)),)
    assert SPEC.group_of_layer() == [0, 0, 0, 0]


def test_layers_are_grouped_by_window_and_the_full_ones_come_first():
    spec = replace(SPEC, sliding_windows=(16, None, 8, 16))

    assert spec.kv_groups() == (
        KVGroup("paged_full", (1,)),
        KVGroup("paged_window", (2,), window=8),
        KVGroup("paged_window", (0, 3), window=16),
    )
    assert spec.group_of_layer() == [2, 0, 1, 2]


def test_a_model_of_windows_alone_has_no_full_group():
    spec = replace(SPEC, sliding_windows=(8,) * 4)

    assert spec.kv_groups() == (KVGroup("paged_window", (0, 1, 2, 3), window=8),)


def test_a_window_for_every_layer_is_our_invariant():
    with pytest.raises(AssertionError, match="1 windows for 4 layers"):
        replace(SPEC, sliding_windows=(None,))


def test_a_tied_head_is_counted_once():
    tied = replace(SPEC, tie_word_embeddings=True)

    assert SPEC.num_parameters - tied.num_parameters == 128 * 64
