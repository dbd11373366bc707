"""Results name ranks, stages and engines where there are several."""

from __future__ import annotations

import pytest

from sglite.bench.parallel import parallel_settings, parallel_text
from sglite.config import EngineConfig


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, ""),
        ({"tp_size": 2}, "tp_size 2"),
        ({"tp_size": 2, "pp_size": 3}, "tp_size 2, pp_size 3"),
        (
            {"tp_size": 2, "dp_size": 2, "enable_dp_attention": True},
            "tp_size 2, dp_size 2, enable_dp_attention",
        ),
    ],
)
def test_what_is_not_one_is_named(options, text):
    settings = parallel_settings(EngineConfig(**options).to_dict())
    assert settings == options
    assert parallel_text(settings) == text


def test_what_a_foreign_server_says_is_not_trusted():
    strange = {"tp_size": "2", "pp_size": None, "dp_size": True, "enable_dp_attention": "no"}
    assert parallel_settings(strange) == {}
