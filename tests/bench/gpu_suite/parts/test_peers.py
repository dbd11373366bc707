from __future__ import annotations

import pytest

from sglite.bench.gpu_suite.parts import peers
from sglite.bench.gpu_suite.suite import LeftOutError


def test_transformers_is_timed_alone_and_in_a_batch(make_suite):
    suite = make_suite("peers")
    peers.run(suite)
    assert [figure.name for figure in suite.recorder.result.figures] == [
        "transformers, batch 1",
        "transformers, batch 32",
    ]


def test_without_transformers_it_is_left_out(make_suite, monkeypatch):
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LeftOutError):
        peers.run(make_suite("peers"))
