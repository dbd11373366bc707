from __future__ import annotations

import numpy as np
import torch

from sglite.attention.backend import AttentionShape
from sglite.bench.gpu_suite import attention_timing
from tests.bench.gpu_suite.attention_double import WholePages


def test_every_backend_model_and_batch_is_timed(make_suite, monkeypatch):
    suite = make_suite("decode_steps")
    made: list[AttentionShape] = []

    def decode_backends(device, sizes):
        made.append(sizes)
        return {"double": lambda: WholePages(sizes)}

    monkeypatch.setattr(attention_timing, "decode_backends", decode_backends)
    timed = list(attention_timing.measure(suite, reserve_s=0))
    assert [each.name for each in timed] == [
        f"attention of tiny-{family}, double, batch {batch}"
        for family in ("qwen3", "llama")
        for batch in (1, 4)
    ]
    assert all(each.bytes_per_s > 0 for each in timed)
    assert {sizes.head_dim for sizes in made} == {32}


def test_nothing_is_timed_without_time(make_suite):
    suite = make_suite("decode_steps")
    suite.ends_at_s = 0.0
    assert list(attention_timing.measure(suite, reserve_s=0)) == []
    assert "attention of tiny-qwen3, triton" in suite.recorder.result.details


def test_a_backend_that_fails_costs_the_others_nothing(make_suite, monkeypatch):
    suite = make_suite("decode_steps")

    def fail():
        raise ValueError("too many registers")

    monkeypatch.setattr(
        attention_timing,
        "decode_backends",
        lambda device, sizes: {"broken": fail, "double": lambda: WholePages(sizes)},
    )
    assert len(list(attention_timing.measure(suite, reserve_s=0))) == 4
    checks = suite.recorder.result.failed_checks
    assert [check.name for check in checks] == [
        "attention of tiny-qwen3, broken",
        "attention of tiny-llama, broken",
    ]
    assert "too many registers" in checks[0].detail


def test_pages_of_a_pool_are_all_used_once(make_suite):
    suite = make_suite("decode_steps")
    pool, table = attention_timing.scattered_pool(suite, suite.sizes.model, 3, 130, layers=2)
    assert table.shape == (3, 3) and sorted(table.ravel()) == list(range(9))
    assert pool.num_pages == (9,) and len(pool.groups[0].layers) == 2


def test_arrays_are_padded_with_zeros_to_their_capacity():
    class Planned(WholePages):
        def capacities(self, num_runs):
            return {"rows": 5, "seq_lens": num_runs}

    sizes = AttentionShape(
        num_heads=1, num_kv_heads=1, head_dim=2, page_size=64, dtype=torch.float32, scale=1.0
    )
    runs = attention_timing.decode_runs(np.zeros((2, 1), dtype=np.int32), 7)
    bound = attention_timing.bind(Planned(sizes), runs, torch.device("cpu"))
    assert bound.staged["rows"].tolist() == [0, 1, 0, 0, 0]
    assert bound.staged["seq_lens"].tolist() == [7, 7]
    assert bound.staged["offsets"].tolist() == [0, 1, 2]
