from __future__ import annotations

import gzip
import json

import pytest
import torch

from sglite.bench.gpu_suite.profiling import Kernel, profiled, summarise


def test_spans_that_overlap_are_busy_once():
    found = summarise([("a", 0, 10), ("b", 5, 20), ("a", 30, 40), ("b", 31, 32)])
    assert found.busy_s == pytest.approx(30e-6)
    assert found.span_s == pytest.approx(40e-6)
    assert [(each.name, each.count) for each in found.kernels] == [("a", 2), ("b", 2)]
    assert found.kernels[0].seconds == pytest.approx(20e-6)


def test_nothing_is_nothing():
    assert summarise([]).span_s == summarise([]).busy_s == 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("attend_kernel", "attention"),
        ("nvjet_tst_128x64_64x8_2x1_v_bz_TNT", "products"),
        ("gemv_kernel", "products"),
        ("norm_kernel", "norms"),
        ("rotary_store_kernel", "rotation and KV store"),
        ("gated_kernel", "activation"),
        ("race_kernel", "draw"),
        ("Memcpy DtoH (Device -> Pinned)", "copies"),
        ("vectorized_elementwise_kernel", "other"),
    ],
)
def test_kinds_follow_names(name, kind):
    assert Kernel(name, 1, 1.0).kind == kind


def test_work_leaves_its_operators_and_a_trace(tmp_path):
    x, trace = torch.ones(64, 64), tmp_path / "a.json.gz"
    found = profiled(lambda: x @ x, torch.device("cpu"), trace=trace)
    assert [(each.name, each.kind) for each in found.kernels] == [("aten::matmul", "products")]
    assert 0 < found.busy_s <= found.span_s
    assert list(found.seconds_by_kind()) == ["products"]
    assert json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
