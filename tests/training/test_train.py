"""The whole pipeline on a small scale: corpus, tokenizer, training, export."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.train import smoke


@pytest.mark.slow
def test_the_smoke_pipeline_learns_and_exports(tmp_path: Path) -> None:
    trainer = smoke(tmp_path)
    assert trainer.losses[-1][1] < 0.8 * trainer.losses[0][1]
    exported = {path.name for path in (tmp_path / "model").iterdir()}
    assert exported >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert (tmp_path / "loss.svg").read_text(encoding="utf-8").startswith("<svg")
