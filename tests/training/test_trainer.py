"""The training loop: its schedule, and resuming."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from training.batches import IGNORED, Sample
from training.model import ModelShape
from training.trainer import Recipe, Trainer, learning_rate

TINY = Recipe(
    num_steps=6,
    max_minutes=60.0,
    batch_size=2,
    row_length=8,
    warmup_steps=2,
    steps_per_report=1,
    steps_per_checkpoint=3,
    shape=ModelShape(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_layers=1,
        num_heads=2,
        num_kv_heads=1,
        head_dim=8,
    ),
)
SAMPLES = [Sample([i, i + 1, i + 2], [IGNORED, i + 1, i + 2]) for i in range(60)]


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(TINY, step, step / 6) for step in range(7)]
    assert rates[0] < rates[1]
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[6] == pytest.approx(0.02 * TINY.peak_learning_rate)


def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = Trainer(TINY, SAMPLES, tmp_path)
    whole.train()
    interrupted = Trainer(TINY, SAMPLES, tmp_path / "interrupted")
    interrupted.run_dir.mkdir()
    interrupted.train(last_step=3)
    resumed = Trainer(TINY, SAMPLES, tmp_path / "interrupted")
    resumed.resume()
    assert resumed.step == 3
    resumed.train()
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
