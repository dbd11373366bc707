"""Shipping: every file of the package's model, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.ship import DATA_FILES, MODEL_FILES, ship
from training.train import TOKENIZER_FILES


def trained(directory: Path) -> dict[str, Path]:
    """The folders of a finished training; each file's text is its path."""
    folders = {
        "run_dir": (directory / "run", [f"model/{name}" for name in MODEL_FILES + TOKENIZER_FILES]),
        "draft_dir": (directory / "draft", [f"model/{name}" for name in MODEL_FILES]),
        "data_dir": (directory / "data", [*DATA_FILES, "train.jsonl"]),
    }
    for folder, names in folders.values():
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(path.relative_to(directory)), encoding="utf-8")
    return {name: folder for name, (folder, _) in folders.items()}


def test_everything_is_copied_to_its_place(tmp_path: Path) -> None:
    out_dir = tmp_path / "embedded"
    num_bytes = ship(out_dir, **trained(tmp_path))
    found = {
        str(path.relative_to(out_dir)): path.read_text(encoding="utf-8")
        for path in out_dir.rglob("*")
        if path.is_file()
    }
    assert found == {
        **{name: f"run/model/{name}" for name in MODEL_FILES + TOKENIZER_FILES},
        **{f"draft/{name}": f"draft/model/{name}" for name in MODEL_FILES},
        **{name: f"data/{name}" for name in DATA_FILES},
    }
    assert num_bytes == sum(len(text) for text in found.values())


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    folders = trained(tmp_path)
    (folders["draft_dir"] / "model" / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        ship(tmp_path / "embedded", **folders)
