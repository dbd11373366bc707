"""Packed linear layers and the row operations against torch, for each target."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch.nn import functional

from sglite.kernels.cpu import instruction_sets
from tests.kernels.cpu.kernels import NUM_THREADS, extension, pack

_cpu = extension()

TARGETS = instruction_sets()
DTYPES = [torch.float32, torch.bfloat16]
SHAPES = [(16, 16), (40, 32), (130, 64), (272, 258)]
ROWS = [1, 2, 3, 5, 6, 7, 12, 13, 33]
# The order of float32 sums differs; products of bfloat16 rounded inputs are compared as such.
TOLERANCE = 2e-5


def random(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return (torch.randn(shape, generator=generator) / shape[-1] ** 0.5).to(dtype)


def inputs(target: str, rows: int, size: int, dtype: torch.dtype) -> torch.Tensor:
    """Of the type that the target multiplies fastest with these weights."""
    is_narrow = dtype == torch.bfloat16 and _cpu.best_x_type(target) == "bfloat16"
    return 3 * random(rows, size, dtype=torch.bfloat16 if is_narrow else torch.float32)


def program(target: str) -> Any:
    return _cpu.Program(target, NUM_THREADS, [], [], False)


def replay_ids(recorded: Any, ids: torch.Tensor) -> None:
    """One run of these tokens through a program without attention."""
    nothing = torch.zeros(0, dtype=torch.int32)
    whole = torch.tensor([0, len(ids)], dtype=torch.int32)
    cos_sin, rows = torch.zeros(1, 2), torch.zeros(len(ids), dtype=torch.int32)
    recorded.replay(ids, cos_sin, rows, whole, whole[1:], [], [], nothing)


@pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("target", TARGETS)
def test_linear_stores_adds_and_has_a_bias(target, shape, dtype):
    (outputs, size), weight = shape, random(*shape, dtype=dtype)
    packed = pack(weight)
    bias = torch.zeros(-(-outputs // 16) * 16)
    bias[:outputs] = random(outputs, 1)[:, 0]
    for rows, adds, with_bias in itertools.product(ROWS, (False, True), (False, True)):
        x, y = inputs(target, rows, size, dtype), random(rows, outputs)
        expected = x.float() @ weight.float().T + y * adds + bias[:outputs] * with_bias
        recorded = program(target)
        epilogue = "add" if adds else "store"
        recorded.linear(packed, bias if with_bias else None, x, y, outputs, size, epilogue)
        recorded.replay_rows(rows)
        torch.testing.assert_close(y, expected, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("activation", ["silu", "gelu", "gelu_pytorch_tanh"])
@pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "bfloat16"])
@pytest.mark.parametrize("target", TARGETS)
def test_gate_and_up_become_one(target, dtype, activation):
    approximate = "tanh" if activation.endswith("tanh") else "none"
    for (outputs, size), rows in itertools.product(SHAPES, ROWS):
        gate, up = random(outputs, size, dtype=dtype), random(outputs, size + 2, dtype=dtype)
        up = up[:, :size].contiguous()
        packed = pack(gate, step=2, parts=2) + pack(up, first=1, step=2, parts=2)
        x = inputs(target, rows, size, dtype)
        y = torch.zeros(rows, outputs, dtype=x.dtype)
        recorded = program(target)
        recorded.linear(packed, None, x, y, outputs, size, "gated", activation)
        recorded.replay_rows(rows)
        gated, plain = x.float() @ gate.float().T, x.float() @ up.float().T
        if activation == "silu":
            expected = functional.silu(gated) * plain
        else:
            expected = functional.gelu(gated, approximate=approximate) * plain
        tolerance = TOLERANCE if x.dtype == torch.float32 else 2e-2
        torch.testing.assert_close(y.float(), expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "bfloat16"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_row_does_not_depend_on_its_batch(target, dtype):
    weight = random(130, 258, dtype=dtype)
    packed, x = pack(weight), inputs(target, 33, 258, dtype)
    results = []
    for rows in ROWS:
        y = torch.zeros(rows, 130)
        recorded = program(target)
        recorded.linear(packed, None, x[:rows].contiguous(), y, 130, 258)
        recorded.replay_rows(rows)
        results.append(y[0])
    assert all(torch.equal(row, results[0]) for row in results)


@pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "bfloat16"])
def test_packing_is_undone_by_unpacking(dtype):
    weight = random(45, 18, dtype=dtype)
    rows = torch.tensor([0, 15, 16, 44])
    found = torch.zeros(4, 18)
    _cpu.unpack(pack(weight), 18, rows, found)
    assert torch.equal(found, weight[rows].float())


def test_packing_rounds_float32_as_torch_does():
    weight = random(33, 20)
    weight[0, :4] = torch.tensor([torch.inf, -torch.inf, 1e-40, 3.4e38])
    packed = torch.zeros(48 * 20, dtype=torch.bfloat16)
    _cpu.pack(weight, packed, 0, 1, NUM_THREADS)
    found = torch.zeros(33, 20)
    _cpu.unpack(packed, 20, torch.arange(33), found)
    assert torch.equal(found, weight.bfloat16().float())


@pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "bfloat16"])
@pytest.mark.parametrize("target", TARGETS)
def test_embedding_rows_come_out_of_the_packed_table(target, dtype):
    table = random(50, 24, dtype=dtype)
    hidden = torch.zeros(4, 24)
    recorded = program(target)
    recorded.embed(pack(table), hidden, 24)
    ids = torch.tensor([0, 49, 16, 31])
    replay_ids(recorded, ids)
    assert torch.equal(hidden, table[ids].float())


@pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "bfloat16"])
@pytest.mark.parametrize("target", TARGETS)
def test_ids_of_another_part_of_the_table_give_zeros(target, dtype):
    table = random(50, 24, dtype=dtype)
    hidden = torch.full((6, 24), torch.nan)
    recorded = program(target)
    recorded.embed(pack(table), hidden, 24, first_id=100)
    ids = torch.tensor([0, 99, 100, 149, 150, 10_000_000_000])
    replay_ids(recorded, ids)
    expected = torch.zeros(6, 24)
    expected[2:4] = table[[0, 49]].float()
    assert torch.equal(hidden, expected)


def test_a_call_comes_between_operations_and_sees_the_rows():
    weight, x = random(32, 32), random(5, 32)
    y, z = torch.zeros(5, 32), torch.zeros(5, 32)
    recorded = program(TARGETS[0])
    recorded.linear(pack(weight), None, x, y, 32, 32)
    recorded.call(lambda num_rows: y[:num_rows].mul_(2))
    recorded.linear(pack(weight), None, y, z, 32, 32)
    called = []
    recorded.call(called.append)
    recorded.call(called.append, of_samples=True)
    for rows in (3, 5):
        recorded.replay_rows(rows)
        twice = 2 * x[:rows] @ weight.T
        torch.testing.assert_close(y[:rows], twice, atol=TOLERANCE, rtol=TOLERANCE)
        torch.testing.assert_close(z[:rows], twice @ weight.T, atol=TOLERANCE, rtol=TOLERANCE)
    assert called == [3, 5], "there are no samples to call for"


def test_what_a_call_raises_ends_the_replay():
    x, y = random(5, 32), torch.zeros(5, 32)

    def fail(num_rows: int) -> None:
        raise RuntimeError(f"rank 1 is gone, {num_rows} rows")

    recorded = program(TARGETS[0])
    recorded.call(fail)
    recorded.linear(pack(random(32, 32)), None, x, y, 32, 32)
    with pytest.raises(RuntimeError, match="rank 1 is gone, 4 rows"):
        recorded.replay_rows(4)
    assert not y.any()


@pytest.mark.parametrize("size", [2, 16, 40, 258])
@pytest.mark.parametrize("target", TARGETS)
def test_norm_is_torchs(target, size):
    x, weight = 100 * random(7, size), random(size, 1)[:, 0].contiguous()
    y = torch.zeros(7, size)
    recorded = program(target)
    recorded.norm(x, weight, y, 1e-6)
    recorded.replay_rows(7)
    torch.testing.assert_close(y, torch.rms_norm(x, (size,), weight, 1e-6))


def test_bad_arguments_are_refused():
    recorded = program(TARGETS[-1])
    x, y = torch.zeros(1, 16), torch.zeros(1, 16)
    with pytest.raises(ValueError, match="another size"):
        recorded.linear(torch.zeros(16 * 8), None, x, y, 16, 16)
    with pytest.raises(ValueError, match="float32 or bfloat16"):
        recorded.linear(torch.zeros(256, dtype=torch.float16), None, x, y, 16, 16)
    with pytest.raises(ValueError, match="epilogue"):
        recorded.linear(torch.zeros(256), None, x, y, 16, 16, "multiply")
    with pytest.raises(ValueError, match="does not run"):
        _cpu.Program("sse9", 1, [], [], False)
