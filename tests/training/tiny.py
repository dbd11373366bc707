"""A model so small that a test can train it, and data that it can learn."""

from __future__ import annotations

import numpy as np

from training.batches import IGNORED, Sample
from training.model import ModelShape
from training.trainer import Recipe

SHAPE = ModelShape(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
)
RECIPE = Recipe(
    num_steps=6,
    max_minutes=1e9,
    tokens_per_batch=256,
    warmup_steps=2,
    steps_per_report=1,
    steps_per_checkpoint=3,
    num_threads=1,
    shape=SHAPE,
)


def counting(start: int, length: int) -> Sample:
    """Numbers from `start` on, of which the first is not learnt."""
    ids = np.arange(start, start + length, dtype=np.int32) % SHAPE.vocab_size
    labels = ids.copy()
    labels[0] = IGNORED
    return Sample(ids, labels)


SAMPLES = [counting(index, 3 + index % 9) for index in range(240)]
