"""Tries shapes and optimizers for the same short time each: `python -m training.sweep`.

Every candidate runs its whole schedule, shortened, on the same documents, none of them twice; what
counts is the loss at the end. Takes ten minutes; the table goes to `training/run/sweep.md`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from training.batches import Sample
from training.make_corpus import DATA_DIR
from training.model import ModelShape
from training.train import RUN_DIR, prepare
from training.trainer import Recipe, Trainer

SMALL = ModelShape()
LARGE = ModelShape(hidden_size=256, intermediate_size=768, num_layers=6)
BASE = Recipe(num_steps=1_000_000, steps_per_report=20, steps_per_checkpoint=1_000_000)
CANDIDATES: dict[str, Recipe] = {
    "small, AdamW 3e-3, 2k": replace(BASE, optimizer="adamw", peak_learning_rate=3e-3),
    "small, Muon 6e-3, 2k": replace(BASE, peak_learning_rate=6e-3),
    "small, Muon 6e-3, 4k": replace(BASE, peak_learning_rate=6e-3, tokens_per_batch=4_096),
    "large, Muon 6e-3, 2k": replace(BASE, peak_learning_rate=6e-3, shape=LARGE),
}
"""Shape, optimizer and peak learning rate, tokens of a batch."""
NUM_LAST_REPORTS = 3


def try_out(recipe: Recipe, samples: list[Sample], directory: Path) -> tuple[int, float, float]:
    """Steps taken, tokens per second, mean loss of the last reports."""
    trainer = Trainer(recipe, samples, directory)
    trainer.train()
    last = [loss for _, loss in trainer.losses[-NUM_LAST_REPORTS:]]
    return trainer.step, trainer.num_tokens / trainer.elapsed_s, sum(last) / len(last)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.sweep")
    parser.add_argument("--minutes", type=float, default=2.5, help="for each candidate")
    parser.add_argument("--data", type=Path, default=DATA_DIR)
    arguments = parser.parse_args()
    directory = RUN_DIR / "sweep"
    directory.mkdir(parents=True, exist_ok=True)
    samples = prepare(arguments.data, directory)
    lines = ["| candidate | steps | tokens/s | loss |", "|---|---:|---:|---:|"]
    for name, recipe in CANDIDATES.items():
        print(name, flush=True)
        torch.set_num_threads(recipe.num_threads)
        timed = replace(recipe, max_minutes=arguments.minutes)
        steps, speed, loss = try_out(timed, samples, directory)
        lines.append(f"| {name} | {steps:,} | {speed:,.0f} | {loss:.3f} |")
        print(lines[-1], flush=True)
    (RUN_DIR / "sweep.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
