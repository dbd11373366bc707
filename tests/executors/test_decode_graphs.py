"""Which graph a step goes to, and which sizes there are."""

from __future__ import annotations

import numpy as np
import pytest

from sglite.executors.decode_graphs import SPARE_UPDATES, DecodeGraphs, graph_sizes
from sglite.models.decoder import Decoder
from tests.executors.device import make_device_executor
from tests.executors.test_torch_executor import decode, prefill, setup
from tests.model_harness import load_decoder
from tests.models.parity_models import make_model

NOTHING = [np.empty((0, 3), dtype=np.int32)]


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    row = {"variant": "qwen3", "rope": "default", "gqa_ratio": 2, "head_dim": 64, "tied": True}
    return load_decoder(make_model(row))


@pytest.fixture
def graphs(decoder: Decoder) -> DecodeGraphs:
    sizes = {"page_size": 4, "max_rows": 8, "max_tokens": 64}
    return make_device_executor(decoder, 32, graph_sizes=[1, 2, 4, 6], **sizes).graphs


@pytest.mark.parametrize(
    ("largest", "sizes"),
    [
        (0, []),
        (1, [1]),
        (3, [1, 2, 3]),
        (8, [1, 2, 4, 8]),
        (20, [1, 2, 4, 8, 16, 20]),
        (280, [1, 2, 4, *range(8, 257, 8), 272, 280]),
    ],
)
def test_sizes_end_with_the_largest(largest, sizes):
    assert graph_sizes(largest) == sizes


def test_a_batch_goes_to_the_next_size(graphs):
    found = [graphs.size_for(decode(*range(count), start=4), NOTHING) for count in range(1, 9)]
    assert found == [1, 2, 4, 4, 6, 6, None, None]


def test_longer_runs_and_new_rows_go_elsewhere(graphs):
    assert graphs.size_for(prefill([1, 2], added=[setup(0, 1)]), NOTHING) is None
    chunk = decode(0, 1, start=4)
    chunk.run_continues = [True, False]
    assert graphs.size_for(chunk, NOTHING) is None
    joined = decode(0, start=4)
    joined.added_rows = [setup(1, 1)]
    assert graphs.size_for(joined, NOTHING) is None


def test_more_new_pages_than_a_graph_writes_go_elsewhere(graphs):
    plan = decode(0, 1, start=4)
    most = np.zeros((2 + SPARE_UPDATES, 3), dtype=np.int32)
    assert graphs.size_for(plan, [most]) == 2
    assert graphs.size_for(plan, [np.zeros((len(most) + 1, 3), dtype=np.int32)]) is None


def test_all_sizes_are_captured_once_from_the_largest_on(graphs, monkeypatch):
    order = []
    capture = graphs._device.capture
    monkeypatch.setattr(
        graphs._device,
        "capture",
        lambda step: order.append(len(step._views["rows"])) or capture(step),
    )
    told = []
    graphs.capture_all(told.append)
    graphs.capture_all()
    assert order == [6, 4, 2, 1]
    assert told == [1, 1, 1, 1]
