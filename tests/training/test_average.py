"""Averages are those of the numbers, and only of models that are alike."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from training.average import average


def write_model(directory: Path, value: float, *, rows: int = 2) -> Path:
    directory.mkdir()
    (directory / "config.json").write_text(f'{{"rows": {rows}}}')
    weights = {"a": torch.full((rows, 3), value, dtype=torch.bfloat16)}
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    return directory


def test_weights_are_the_mean_and_the_rest_is_the_first_models(tmp_path: Path) -> None:
    models = [write_model(tmp_path / str(value), value) for value in (1.0, 2.0, 6.0)]
    average(models, tmp_path / "out")
    mean = load_file(tmp_path / "out" / "model.safetensors")["a"]
    assert mean.dtype == torch.bfloat16
    assert torch.equal(mean, torch.full((2, 3), 3.0, dtype=torch.bfloat16))
    assert (tmp_path / "out" / "config.json").read_text() == '{"rows": 2}'


def test_models_of_other_shapes_are_refused(tmp_path: Path) -> None:
    models = [write_model(tmp_path / "a", 1.0), write_model(tmp_path / "b", 1.0, rows=3)]
    with pytest.raises(ValueError, match="other tensors"):
        average(models, tmp_path / "out")
    assert not (tmp_path / "out").exists()
