"""Muon for the layers' matrices, AdamW for the embedding and the norms.

Muon (Jordan et al., 2024) replaces a matrix's momentum by the nearest matrix whose singular values
are all one, found by a few Newton-Schulz steps, so that every direction learns at the same pace. On
two CPU cores it pays for itself: a step costs more and far fewer steps are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic that drives singular values towards one, by Muon's author."""
NUM_ITERATIONS = 5


def orthogonalize(matrix: torch.Tensor) -> torch.Tensor:
    """About U V^T for matrices [N, rows, columns] = U S V^T; rows and columns in any proportion."""
    a, b, c = NEWTON_SCHULZ
    is_tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if is_tall else matrix
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(NUM_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if is_tall else x


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalized; the step's root mean square is 0.2 of the rate, about AdamW's."""

    def __init__(
        self, params: Iterable[nn.Parameter], *, lr: float, momentum: float, weight_decay: float
    ) -> None:
        """An optimizer for matrices; those of one shape are stepped together."""
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step for every matrix that has a gradient; `closure` is not supported."""
        assert closure is None, "Muon takes no closure"
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for parameters in by_shape.values():
                self._step_together(parameters, group)

    def _step_together(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        directions = []
        for parameter in parameters:
            gradient = parameter.grad
            assert gradient is not None, "only parameters with a gradient are stepped"
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
            state["momentum"].lerp_(gradient, 1 - group["momentum"])
            directions.append(gradient.lerp(state["momentum"], group["momentum"]))
        updates = orthogonalize(torch.stack(directions))
        scale = 0.2 * max(updates.shape[-2:]) ** 0.5
        for parameter, update in zip(parameters, updates, strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(update, alpha=-group["lr"] * scale)


def make_optimizers(
    model: nn.Module, *, name: str, learning_rate: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """`name` is "muon" or "adamw"; norms and the embedding are AdamW's in any case."""
    in_layers = [p for n, p in model.named_parameters() if p.ndim == 2 and "layers." in n]
    embedding = [p for n, p in model.named_parameters() if p.ndim == 2 and "layers." not in n]
    norms = [p for p in model.parameters() if p.ndim < 2]
    decayed = embedding if name == "muon" else in_layers + embedding
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": norms, "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), fused=True)
    if name == "adamw":
        return [adamw]
    muon = Muon(in_layers, lr=learning_rate, momentum=0.95, weight_decay=weight_decay)
    return [adamw, muon]
