"""The sweep: candidates that can be told apart, and a table of what they reached."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.tiny import RECIPE, SAMPLES
from training import sweep


def test_candidates_differ_and_are_bounded_by_time_alone() -> None:
    recipes = list(sweep.CANDIDATES.values())
    assert all(recipes[index] not in recipes[:index] for index in range(len(recipes)))
    assert {recipe.num_steps for recipe in recipes} == {1_000_000}


def test_a_try_tells_steps_speed_and_the_last_losses(tmp_path: Path) -> None:
    recipe = replace(RECIPE, num_steps=40, peak_learning_rate=0.02)
    steps, speed, loss = sweep.try_out(recipe, SAMPLES, tmp_path)
    assert steps == 40
    assert speed > 0
    assert 0 < loss < 2


def test_the_table_has_a_row_per_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = {"one": RECIPE, "two": replace(RECIPE, optimizer="adamw")}
    monkeypatch.setattr(sweep, "RUN_DIR", tmp_path)
    monkeypatch.setattr(sweep, "CANDIDATES", candidates)
    monkeypatch.setattr(sweep, "prepare", lambda data_dir, run_dir: SAMPLES)
    monkeypatch.setattr("sys.argv", ["sweep", "--minutes", "1"])
    sweep.main()
    lines = (tmp_path / "sweep.md").read_text(encoding="utf-8").splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| one", "| two"]
    assert all(line.count("|") == 5 for line in lines)
