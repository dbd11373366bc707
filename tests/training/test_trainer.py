"""The training loop: its schedule, what it learns, and resuming."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.tiny import RECIPE, SAMPLES
from training.batches import make_batch
from training.trainer import Recipe, Trainer, batch_loss, learning_rate

SCHEDULE = Recipe(warmup_steps=10, decay_share=0.5, peak_learning_rate=2.0)


@pytest.mark.parametrize(
    ("step", "progress", "rate"),
    [
        (0, 0.0, 0.2),
        (4, 0.05, 1.0),
        (9, 0.1, 2.0),
        (50, 0.5, 2.0),
        (75, 0.75, 1.0),
        (99, 0.99, 0.04),
        (100, 1.0, 0.02),
        (100, 1.3, 0.02),
    ],
)
def test_the_rate_rises_stays_and_falls(step: int, progress: float, rate: float) -> None:
    assert learning_rate(SCHEDULE, step, progress) == pytest.approx(rate)


def run(directory: Path, recipe: Recipe = RECIPE) -> Trainer:
    """A run that keeps its files in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    return Trainer(recipe, SAMPLES, directory)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_resumed_run_equals_an_uninterrupted_one(optimizer: str, tmp_path: Path) -> None:
    recipe = replace(RECIPE, optimizer=optimizer)
    whole = run(tmp_path / "whole", recipe)
    whole.train()
    run(tmp_path / "parts", recipe).train(last_step=3)
    resumed = run(tmp_path / "parts", recipe)
    resumed.resume()
    assert resumed.step == 3
    resumed.train()
    assert (resumed.step, resumed.num_tokens) == (whole.step, whole.num_tokens)
    assert resumed.losses == whole.losses
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_small_task_is_learnt(tmp_path: Path) -> None:
    recipe = replace(RECIPE, num_steps=60, peak_learning_rate=0.02, steps_per_report=10)
    trainer = run(tmp_path, recipe)
    trainer.train()
    losses = [loss for _, loss in trainer.losses]
    assert losses[0] > 2
    assert losses[-1] < 0.3
    assert [step for step, _ in trainer.losses] == [10, 20, 30, 40, 50, 60]


def test_a_run_ends_with_its_time(tmp_path: Path) -> None:
    trainer = run(tmp_path, replace(RECIPE, max_minutes=1e-9))
    trainer.train()
    assert trainer.step == 1
    assert (tmp_path / "checkpoint.safetensors").exists()


def test_the_log_says_where_the_run_stands(tmp_path: Path) -> None:
    trainer = run(tmp_path)
    trainer.train(last_step=2)
    log = json.loads((tmp_path / "losses.json").read_text(encoding="utf-8"))
    assert [step for step, _ in log["losses"]] == [1, 2]
    assert log["num_tokens"] == 2 * RECIPE.tokens_per_batch
    assert log["elapsed_s"] > 0


def test_the_loss_counts_learnt_tokens_only(tmp_path: Path) -> None:
    trainer = run(tmp_path)
    batch = make_batch([SAMPLES[:4]], 64)
    other = replace(batch, token_ids=batch.token_ids.clone())
    is_last = (batch.labels < 0) & (batch.position_ids > 0)
    other.token_ids[is_last] = 63  # a sample's last token predicts nothing, and padding neither
    a, b = batch_loss(trainer.model, batch), batch_loss(trainer.model, other)
    assert a.item() == b.item()
