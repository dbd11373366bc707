from __future__ import annotations

import pytest
import torch

from sglite.kernels import triton_support
from sglite.kernels.page_table import update_page_table
from tests.kernels.triton_harness import DEVICE


@pytest.fixture(params=["reference", "triton"])
def implementation(request, monkeypatch):
    if request.param == "triton":
        pytest.importorskip("triton")
    monkeypatch.setattr(triton_support, "runs_on", lambda tensor: request.param == "triton")


def updates(triples: list[tuple[int, int, int]]) -> torch.Tensor:
    return torch.tensor(triples, dtype=torch.int32, device=DEVICE).reshape(-1, 3)


def test_named_entries_change_and_no_others(implementation):
    table = torch.arange(12, dtype=torch.int32, device=DEVICE).reshape(3, 4)
    update_page_table(table, updates([(2, 3, 90), (0, 0, 91), (1, 2, 92)]))
    assert table.tolist() == [[91, 1, 2, 3], [4, 5, 92, 7], [8, 9, 10, 90]]


def test_padding_does_nothing(implementation):
    table = torch.zeros(2, 2, dtype=torch.int32, device=DEVICE)
    update_page_table(table, updates([(-1, 0, 5), (1, 1, 6), (-1, -1, -1), (-3, 7, 8)]))
    assert table.tolist() == [[0, 0], [0, 6]]
    update_page_table(table, updates([]))
    assert table.tolist() == [[0, 0], [0, 6]]


def test_many_updates_of_rows_that_lie_apart(implementation):
    whole = torch.zeros(30, 64, dtype=torch.int32, device=DEVICE)
    places = torch.randperm(30 * 40)[:300]
    triples = [(int(p) // 40, int(p) % 40, i + 1) for i, p in enumerate(places)]
    expected = torch.zeros(30, 64, dtype=torch.int32)
    for row, index, page in triples:
        expected[row, index] = page
    update_page_table(whole[:, :40], updates(triples))
    assert torch.equal(whole.cpu(), expected)
