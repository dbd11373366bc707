"""A checkpoint: everything that a run needs to go on, or the older file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.tiny import RECIPE, SAMPLES, SHAPE
from training import checkpoint
from training.batches import batches
from training.checkpoint import load_checkpoint, save_checkpoint
from training.model import build_model
from training.optimizer import make_optimizers
from training.trainer import batch_loss


def stepped(name: str, seed: int) -> tuple[torch.nn.Module, list[torch.optim.Optimizer]]:
    """A model and its optimizers after one step."""
    model = build_model(SHAPE, seed=seed)
    optimizers = make_optimizers(model, name=name, learning_rate=0.01, weight_decay=0.1)
    stream = batches(SAMPLES, tokens_per_batch=RECIPE.tokens_per_batch, seed=seed)
    torch.autograd.backward(batch_loss(model, next(stream)))
    for optimizer in optimizers:
        optimizer.step()
    return model, optimizers


def state_of(model: torch.nn.Module, optimizers: list[Any]) -> list[torch.Tensor]:
    """All tensors, in order."""
    tensors: list[torch.Tensor] = []
    for parameter in model.parameters():
        tensors.append(parameter.detach())
        for optimizer in optimizers:
            state = optimizer.state.get(parameter, {})
            tensors += [state[key] for key in sorted(state)]
    return tensors


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_what_is_saved_comes_back(name: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    saved = stepped(name, seed=1)
    save_checkpoint(path, *saved, step=41)
    loaded = stepped(name, seed=2)
    assert load_checkpoint(path, *loaded) == 41
    expected, found = state_of(*saved), state_of(*loaded)
    assert len(expected) > 2 * len(list(saved[0].parameters())) - 1
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_a_crash_while_writing_leaves_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    model, optimizers = stepped("muon", seed=1)
    save_checkpoint(path, model, optimizers, step=1)

    def crash(_: object, name: str, **_options: object) -> None:
        Path(name).write_bytes(b"half a file")
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint, "save_file", crash)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(path, model, optimizers, step=2)
    assert load_checkpoint(path, model, optimizers) == 1
