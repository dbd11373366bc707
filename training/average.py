"""Averages models: `python -m training.average DIR DIR ... --out DIR`.

Models that were trained from the same start, each on another mixture of skills, lie close enough
together that the mean of their weights is better than each of them (Wortsman et al., "Model soups",
2022): what one has forgotten in favour of something else, the others still know.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

WEIGHTS = "model.safetensors"


def average(models: Sequence[Path], out_dir: Path) -> None:
    """Writes the mean of the models' weights, and the other files of the first, to `out_dir`.

    ValueError if the models have other tensors than the first, or tensors of other shapes.
    """
    weights = [load_file(model / WEIGHTS) for model in models]
    shapes = [{name: each.shape for name, each in one.items()} for one in weights]
    for model, shape in zip(models, shapes, strict=True):
        if shape != shapes[0]:
            raise ValueError(f"{model} has other tensors than {models[0]}")
    mean = {
        name: torch.stack([one[name].float() for one in weights]).mean(0).to(first.dtype)
        for name, first in weights[0].items()
    }
    out_dir.mkdir(parents=True, exist_ok=True)
    for file in models[0].iterdir():
        if file.is_file() and file.name != WEIGHTS:
            shutil.copyfile(file, out_dir / file.name)
    save_file(mean, out_dir / WEIGHTS, metadata={"format": "pt"})


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.average")
    parser.add_argument("models", type=Path, nargs="+", metavar="DIR", help="exported models")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    average(arguments.models, arguments.out)
    print(f"{arguments.out}: the mean of {len(arguments.models)} models")


if __name__ == "__main__":
    main()
