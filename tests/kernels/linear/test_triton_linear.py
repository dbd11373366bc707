from __future__ import annotations

import numpy as np
import pytest
import torch

from sglite.kernels.linear import reference
from tests.kernels.triton_harness import DEVICE, DTYPES, TOLERANCES

triton_linear = pytest.importorskip("sglite.kernels.linear.triton_linear")

SIZES = [  # inputs, outputs: within a block, at its edges, beyond
    (1, 1),
    (64, 32),
    (65, 33),
    (1031, 5),
    (2049, 17),
]


def numbers(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    """Such that a sum of products is about as large as one of them."""
    return (torch.randn(shape, device=DEVICE) / shape[-1] ** 0.25).to(dtype)


def exact(x, weight, bias):
    """The reference in float64, rounded once."""
    wide = [None if tensor is None else tensor.double() for tensor in (x, weight, bias)]
    return reference.linear(*wide).to(x.dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5])
def test_a_few_vectors_are_multiplied_as_in_the_reference(rows, size, dtype):
    x, weight = numbers(rows, size[0], dtype=dtype), numbers(size[1], size[0], dtype=dtype)
    bias = numbers(size[1], dtype=dtype)
    actual = triton_linear.multiply_vectors(x, weight, bias)
    torch.testing.assert_close(actual, exact(x, weight, bias), **TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("rows", [1, 5, 65])
def test_tiles_are_multiplied_as_in_the_reference(rows, size, dtype):
    x, weight = numbers(rows, size[0], dtype=dtype), numbers(size[1], size[0], dtype=dtype)
    bias = numbers(size[1], dtype=dtype)
    actual = triton_linear.multiply_invariantly(x, weight, bias)
    torch.testing.assert_close(actual, exact(x, weight, bias), **TOLERANCES[dtype])


@pytest.fixture
def rows_are_multiplied_alike(monkeypatch):
    """The interpreter's library multiplies the last rows of a matrix in another order than the
    first ones, which a GPU does not: row after row, by the same call each."""
    if DEVICE == "cuda":
        return
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    def product(builder, left, right, total, *_):
        rows = [row[None, :].astype(np.float32) @ right.data for row in left.data]
        return TensorHandle(np.concatenate(rows) + total.data, total.dtype.scalar)

    monkeypatch.setattr(InterpreterBuilder, "create_dot", product)


@pytest.mark.usefixtures("rows_are_multiplied_alike")
@pytest.mark.parametrize("dtype", DTYPES if DEVICE == "cuda" else DTYPES[:2], ids=str)
@pytest.mark.parametrize("size", [(100, 33), (1031, 5)], ids=str)
def test_a_row_has_the_same_bits_alone_and_anywhere_in_any_batch(size, dtype):
    x, weight = numbers(64, size[0], dtype=dtype), numbers(size[1], size[0], dtype=dtype)
    x[40] = torch.nan  # and whatever its neighbours are
    alone = [triton_linear.multiply_invariantly(x[row : row + 1], weight, None) for row in range(5)]
    alone = torch.cat(alone)
    for batch in (2, 3, 17, 64):
        together = triton_linear.multiply_invariantly(x[:batch], weight, None)
        assert torch.equal(together[:5], alone[:batch])
    moved = triton_linear.multiply_invariantly(x.roll(35, dims=0).repeat(2, 1), weight, None)
    assert torch.equal(moved[35:40], alone) and torch.equal(moved[99:104], alone)


@pytest.mark.parametrize("multiply", ["multiply_vectors", "multiply_invariantly"])
def test_rows_that_lie_apart_are_read_in_their_places(multiply):
    x, weight = torch.randn(3, 40, device=DEVICE), torch.randn(6, 30, device=DEVICE)
    actual = getattr(triton_linear, multiply)(x[:, 8:24], weight[:, 3:19], None)
    torch.testing.assert_close(actual, exact(x[:, 8:24], weight[:, 3:19], None))


@pytest.mark.parametrize("multiply", ["multiply_vectors", "multiply_invariantly"])
def test_what_lies_beyond_a_row_is_not_read_into_it(multiply):
    x, weight = (torch.full((2, 20), torch.nan, device=DEVICE) for _ in range(2))
    x[:, :5], weight[:, :5] = 1.0, 2.0
    assert getattr(triton_linear, multiply)(x[:, :5], weight[:, :5], None).eq(10.0).all()


def test_wide_weights_are_split_into_wider_blocks(monkeypatch):
    monkeypatch.setattr(triton_linear, "FEW_OUTPUTS", 16)
    x, weight = torch.randn(2, 16, device=DEVICE), torch.randn(131, 16, device=DEVICE)
    expected = exact(x, weight, None)
    for multiply in (triton_linear.multiply_vectors, triton_linear.multiply_invariantly):
        torch.testing.assert_close(multiply(x, weight, None), expected, **TOLERANCES[x.dtype])


@pytest.mark.parametrize("multiply", ["multiply_vectors", "multiply_invariantly"])
def test_no_rows_give_no_results(multiply):
    x, weight = torch.zeros(0, 8, device=DEVICE), torch.zeros(4, 8, device=DEVICE)
    assert getattr(triton_linear, multiply)(x, weight, None).shape == (0, 4)
