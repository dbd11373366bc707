"""Mistral's window: every layer, or none where the config says null."""

from __future__ import annotations

import pytest

from sglite.models.mistral import mistral
from tests.models.configs import make_hf_config


@pytest.mark.parametrize(("stated", "window"), [(16, 16), (None, None), (..., 4096)])
def test_every_layer_has_the_window(stated, window):
    hf = make_hf_config("MistralForCausalLM", sliding_window=stated)

    assert mistral(hf).sliding_windows == (window,) * 4
