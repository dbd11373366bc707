"""Saving and resuming a training run: weights and the optimizers' state in one safetensors file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file


def save_checkpoint(
    path: Path,
    model: torch.nn.Module,
    optimizers: list[torch.optim.Optimizer],
    *,
    step: int,
) -> None:
    """Writes the state after `step` steps; a crash in the middle leaves the older file."""
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        tensors[f"weight.{name}"] = parameter.detach()
        for optimizer in optimizers:
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"{key}.{name}"] = value
    unfinished = path.with_suffix(".part")
    save_file(tensors, str(unfinished), metadata={"step": str(step)})
    os.replace(unfinished, path)


def load_checkpoint(
    path: Path, model: torch.nn.Module, optimizers: list[torch.optim.Optimizer]
) -> int:
    """Fills model and optimizers from `path`; returns the number of steps done."""
    with safe_open(str(path), framework="pt") as file:
        for name, parameter in model.named_parameters():
            parameter.data.copy_(file.get_tensor(f"weight.{name}"))
            optimizer = next(each for each in optimizers if _holds(each, parameter))
            keys = [key for key in file.keys() if key.partition(".")[2] == name]  # noqa: SIM118
            state = {key.partition(".")[0]: file.get_tensor(key) for key in keys}
            optimizer.state[parameter] = {k: v for k, v in state.items() if k != "weight"}
        return int(file.metadata()["step"])


def _holds(optimizer: torch.optim.Optimizer, parameter: torch.nn.Parameter) -> bool:
    return any(parameter is each for each in _parameters(optimizer))


def _parameters(optimizer: torch.optim.Optimizer) -> Iterator[torch.nn.Parameter]:
    for group in optimizer.param_groups:
        yield from group["params"]
