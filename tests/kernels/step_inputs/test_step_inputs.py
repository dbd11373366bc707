from __future__ import annotations

import pytest
import torch

from sglite.kernels import triton_support
from sglite.kernels.step_inputs import StepInputs, StepTokens, step_inputs
from tests.kernels.triton_harness import DEVICE

PAGE_SIZE = 4


@pytest.fixture(params=["reference", "triton"])
def implementation(request, monkeypatch):
    if request.param == "triton":
        pytest.importorskip("triton")
    monkeypatch.setattr(triton_support, "runs_on", lambda tensor: request.param == "triton")


def ints(values: list[int]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int32, device=DEVICE)


def empty(count: int, num_groups: int) -> StepInputs:
    tensors = [torch.full((count,), -7, device=DEVICE) for _ in range(2 + num_groups)]
    return StepInputs(tensors[0], tensors[1], tensors[2:])


def test_ids_positions_and_slots_of_decodes_a_chunk_and_padding(implementation):
    tokens = StepTokens(
        rows_T=ints([2, 0, 1, 1, 1, 3, 3]),
        positions_T=ints([9, 0, 3, 4, 5, 0, 0]),
        known_T=ints([-1, -1, 50, 0, 52, -1, -1]),
    )
    last = torch.tensor([70, 71, 2**40, 73], device=DEVICE)
    full = torch.tensor([[5, 1, 2], [3, 4, 0], [6, 7, 8], [9, 9, 9]], dtype=torch.int32)
    window = full.flip(1) + 20
    out = empty(7, 2)
    step_inputs(tokens, last, [full.to(DEVICE), window.to(DEVICE)], out, page_size=PAGE_SIZE)
    assert out.input_ids_T.tolist() == [2**40, 70, 50, 0, 52, 73, 73]
    assert out.positions_T.tolist() == [9, 0, 3, 4, 5, 0, 0]
    assert out.out_slots[0].tolist() == [8 * 4 + 1, 5 * 4, 3 * 4 + 3, 4 * 4, 4 * 4 + 1, 36, 36]
    assert out.out_slots[1].tolist() == [26 * 4 + 1, 22 * 4, 83, 24 * 4, 97, 29 * 4, 29 * 4]


@pytest.mark.parametrize("count", [1, 128, 300])
def test_every_token_of_a_long_step_is_written_and_no_other(implementation, count):
    table = torch.randperm(40 * 8).reshape(8, 40).int()[:, :30].to(DEVICE)  # rows lie apart
    rows, positions = torch.randint(8, (count,)), torch.randint(30 * PAGE_SIZE, (count,))
    known, last = torch.randint(-1, 3, (count,)), torch.arange(100, 108)
    wide = empty(count + 5, 1)
    out = StepInputs(
        wide.input_ids_T[:count], wide.positions_T[:count], [wide.out_slots[0][:count]]
    )
    tokens = StepTokens(*(ints(x.tolist()) for x in (rows, positions, known)))
    step_inputs(tokens, last.to(DEVICE), [table], out, page_size=PAGE_SIZE)
    pages = table.cpu()[rows, positions // PAGE_SIZE].long()
    assert out.out_slots[0].tolist() == (pages * PAGE_SIZE + positions % PAGE_SIZE).tolist()
    assert out.input_ids_T.tolist() == torch.where(known < 0, last[rows], known).tolist()
    assert out.positions_T.tolist() == positions.tolist()
    for tensor in (wide.input_ids_T, wide.positions_T, wide.out_slots[0]):
        assert tensor[count:].tolist() == [-7] * 5


def test_slots_beyond_32_bits_are_right(implementation):
    table = torch.tensor([[2**30 + 1]], dtype=torch.int32, device=DEVICE)
    out = empty(1, 1)
    tokens = StepTokens(ints([0]), ints([3]), ints([1]))
    step_inputs(tokens, torch.zeros(1, device=DEVICE).long(), [table], out, page_size=PAGE_SIZE)
    assert out.out_slots[0].tolist() == [2**32 + 7]


def test_no_tokens_write_nothing(implementation):
    table = torch.zeros(1, 1, dtype=torch.int32, device=DEVICE)
    last = torch.zeros(1, dtype=torch.int64, device=DEVICE)
    step_inputs(StepTokens(ints([]), ints([]), ints([])), last, [table], empty(0, 1), page_size=4)
