"""Small random checkpoints on the disk, so that two devices load the very same weights."""

from __future__ import annotations

from pathlib import Path

import torch

from sglite.models.loader import read_model_info
from sglite.models.random_weights import random_weight
from sglite.models.safetensors_file import write_safetensors
from sglite.models.weight_map import weight_map


def write_checkpoint(directory: Path, dtype: torch.dtype) -> None:
    """Write the weights that the config.json of ``directory`` asks for."""
    targets = weight_map(read_model_info(directory).spec)
    layout = {name: (dtype, target.shape) for name, target in targets.items()}
    weights = (random_weight(name, target.shape, dtype=dtype) for name, target in targets.items())
    write_safetensors(directory / "model.safetensors", layout, weights)
