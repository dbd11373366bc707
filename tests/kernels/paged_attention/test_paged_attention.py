from __future__ import annotations

import pytest
import torch

from sglite.kernels.paged_attention import IMPLEMENTATIONS, attend_work, paged_attention
from sglite.kernels.paged_attention.work_list import Scores, Tiling
from tests.kernels.paged_attention.cases import Runs, make_inputs
from tests.kernels.paged_attention.works import make_work, moved, on_device
from tests.kernels.triton_harness import DEVICE, assert_close

CASE = Runs("decode", [(1, 9), (1, 70)], page_size=64)


@pytest.mark.parametrize("implementation", sorted(IMPLEMENTATIONS))
def test_runs_are_attended_by_the_named_implementation(implementation):
    inputs = make_inputs(CASE, gqa_ratio=2, dtype=torch.float32)
    results = [
        paged_attention(
            inputs.q_TND, inputs.kv_layer, inputs.metadata, scale=0.3, implementation=name
        )
        for name in (implementation, "reference")
    ]
    assert_close(*results)


def test_a_work_list_is_attended_where_its_tensors_are():
    inputs = make_inputs(CASE, gqa_ratio=2, dtype=torch.float32)
    tiling = Tiling(8, 4)
    out_TND = torch.full_like(inputs.q_TND, torch.nan, device=DEVICE)
    attend_work(
        inputs.q_TND.to(DEVICE),
        moved(inputs.kv_layer),
        inputs.metadata.page_table_RP.to(DEVICE),
        on_device(make_work(inputs, tiling, is_decode=True), inputs, tiling, is_decode=True),
        out_TND,
        page_size=CASE.page_size,
        scores=Scores(0.3),
    )
    expected = paged_attention(inputs.q_TND, inputs.kv_layer, inputs.metadata, scale=0.3)
    assert_close(out_TND.cpu(), expected)
