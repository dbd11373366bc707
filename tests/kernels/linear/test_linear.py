from __future__ import annotations

import pytest
import torch

from sglite.kernels import linear as package
from sglite.kernels import triton_support
from sglite.kernels.linear import MAX_VECTORS, linear


@pytest.mark.parametrize("implementation", ["reference", "triton"])
@pytest.mark.parametrize("deterministic", [False, True])
def test_each_output_is_its_row_of_the_weight_times_x_and_its_bias(
    deterministic, implementation, monkeypatch
):
    if implementation == "triton":
        pytest.importorskip("triton")
        monkeypatch.setattr(triton_support, "runs_on", lambda tensor: True)
    x, weight = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0], [5.0, 6.0], [0.0, 0.0]])
    out = linear(x, weight, torch.tensor([100.0, 200.0, 300.0]), deterministic=deterministic)
    assert out.tolist() == [[111.0, 217.0, 300.0]]
    assert linear(x, weight, deterministic=deterministic).tolist() == [[11.0, 17.0, 0.0]]


@pytest.mark.parametrize(
    ("rows", "deterministic", "chosen"),
    [
        (1, False, "multiply_vectors"),
        (MAX_VECTORS, False, "multiply_vectors"),
        (MAX_VECTORS + 1, False, "reference"),
        (1, True, "multiply_invariantly"),
        (MAX_VECTORS + 1, True, "multiply_invariantly"),
    ],
)
def test_few_rows_and_determinism_choose_the_kernel(rows, deterministic, chosen, monkeypatch):
    triton_linear = pytest.importorskip("sglite.kernels.linear.triton_linear")
    monkeypatch.setattr(triton_support, "runs_on", lambda tensor: True)
    for name in ("multiply_vectors", "multiply_invariantly"):
        monkeypatch.setattr(triton_linear, name, lambda *_, name=name: name)
    monkeypatch.setattr(package.reference, "linear", lambda *_: "reference")
    x, weight = torch.zeros(rows, 8), torch.zeros(4, 8)
    assert linear(x, weight, deterministic=deterministic) == chosen
