"""Muon: what it does to a matrix, and which parameters are whose."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.training.tiny import SHAPE
from training.model import build_model
from training.optimizer import Muon, make_optimizers, orthogonalize


def matrix_with(values: torch.Tensor, num_rows: int, num_columns: int) -> torch.Tensor:
    """A matrix with these singular values, as many as its shorter side."""
    left = torch.linalg.qr(torch.randn(num_rows, len(values))).Q
    right = torch.linalg.qr(torch.randn(num_columns, len(values))).Q
    return left @ torch.diag(values) @ right.mT


@pytest.mark.parametrize(("num_rows", "num_columns"), [(48, 16), (16, 48), (32, 32), (1, 8)])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])
def test_singular_values_come_near_one(num_rows: int, num_columns: int, scale: float) -> None:
    values = scale * torch.linspace(0.1, 1.0, min(num_rows, num_columns))
    matrix = matrix_with(values, num_rows, num_columns)
    found = orthogonalize(matrix[None])[0]
    assert found.shape == matrix.shape
    singular = torch.linalg.svdvals(found)
    assert singular.min() > 0.6
    assert singular.max() < 1.3


@pytest.mark.parametrize(("num_rows", "num_columns"), [(24, 8), (8, 24)])
def test_directions_are_kept(num_rows: int, num_columns: int) -> None:
    matrix = matrix_with(torch.linspace(0.3, 1.0, 8), num_rows, num_columns)
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    along = u.mT @ orthogonalize(matrix[None])[0] @ vh.mT
    torch.testing.assert_close(along, torch.diag(along.diagonal()), rtol=0, atol=1e-3)
    assert (along.diagonal() > 0.6).all()


def test_a_batch_is_its_matrices() -> None:
    matrices = torch.randn(3, 12, 20)
    together = orthogonalize(matrices)
    for index in range(3):
        alone = orthogonalize(matrices[index : index + 1])[0]
        torch.testing.assert_close(together[index], alone, rtol=1e-4, atol=1e-5)


def test_a_zero_gradient_gives_no_nan() -> None:
    assert torch.equal(orthogonalize(torch.zeros(1, 4, 6)), torch.zeros(1, 4, 6))


@pytest.mark.parametrize("shape", [(64, 16), (16, 64)])
def test_a_step_is_a_fifth_of_the_rate_whatever_the_shape(shape: tuple[int, int]) -> None:
    parameter = nn.Parameter(torch.zeros(shape))
    parameter.grad = torch.randn(shape)
    Muon([parameter], lr=0.5, momentum=0.95, weight_decay=0.0).step()
    assert parameter.detach().square().mean().sqrt().item() == pytest.approx(0.1, rel=0.25)
    assert (parameter.detach() * parameter.grad).sum() < 0


def test_decay_shrinks_by_rate_times_decay() -> None:
    parameter = nn.Parameter(torch.full((4, 4), 2.0))
    parameter.grad = torch.zeros(4, 4)
    Muon([parameter], lr=0.1, momentum=0.9, weight_decay=0.5).step()
    torch.testing.assert_close(parameter.detach(), torch.full((4, 4), 1.9))


def test_matrices_of_one_shape_do_not_mix() -> None:
    gradients = torch.randn(2, 8, 8)
    together = [nn.Parameter(torch.zeros(8, 8)) for _ in range(2)]
    for parameter, gradient in zip(together, gradients, strict=True):
        parameter.grad = gradient
    Muon(together, lr=1.0, momentum=0.5, weight_decay=0.0).step()
    alone = nn.Parameter(torch.zeros(8, 8))
    alone.grad = gradients[1]
    Muon([alone], lr=1.0, momentum=0.5, weight_decay=0.0).step()
    torch.testing.assert_close(together[1], alone, rtol=1e-4, atol=1e-5)


def test_momentum_outlives_its_gradient() -> None:
    parameter = nn.Parameter(torch.zeros(6, 6))
    optimizer = Muon([parameter], lr=0.1, momentum=0.9, weight_decay=0.0)
    parameter.grad = torch.randn(6, 6)
    optimizer.step()
    before = parameter.detach().clone()
    parameter.grad = torch.zeros(6, 6)
    optimizer.step()
    assert not torch.allclose(before, parameter.detach())
    parameter.grad = None
    before = parameter.detach().clone()
    optimizer.step()
    assert torch.equal(before, parameter.detach())


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_every_parameter_has_one_optimizer(name: str) -> None:
    model = build_model(SHAPE, seed=0)
    optimizers = make_optimizers(model, name=name, learning_rate=1e-3, weight_decay=0.1)
    owners: dict[int, str] = {}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                assert owners.setdefault(id(parameter), type(optimizer).__name__)
                assert (group["weight_decay"] == 0) == (parameter.ndim < 2)
    num_listed = sum(len(group["params"]) for one in optimizers for group in one.param_groups)
    assert num_listed == len(owners) == len(list(model.parameters()))
    for parameter_name, parameter in model.named_parameters():
        is_muons = name == "muon" and "layers." in parameter_name and parameter.ndim == 2
        assert owners[id(parameter)] == ("Muon" if is_muons else "AdamW")
