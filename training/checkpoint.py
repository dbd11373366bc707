"""Saving and resuming a training run: weights and AdamW's moments in one safetensors file."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

MOMENTS = ("exp_avg", "exp_avg_sq")


def save_checkpoint(
    path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, *, step: int
) -> None:
    """Writes the state after `step` steps; a crash in the middle leaves the older file."""
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        tensors[f"weight.{name}"] = parameter.detach()
        for moment in MOMENTS:
            tensors[f"{moment}.{name}"] = optimizer.state[parameter][moment]
    unfinished = path.with_suffix(".part")
    save_file(tensors, str(unfinished), metadata={"step": str(step)})
    os.replace(unfinished, path)


def load_checkpoint(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Fills model and optimizer from `path`; returns the number of steps done."""
    with safe_open(str(path), framework="pt") as file:
        step = int(file.metadata()["step"])
        for name, parameter in model.named_parameters():
            parameter.data.copy_(file.get_tensor(f"weight.{name}"))
            state = {moment: file.get_tensor(f"{moment}.{name}") for moment in MOMENTS}
            optimizer.state[parameter] = {"step": torch.tensor(float(step)), **state}
    return step
