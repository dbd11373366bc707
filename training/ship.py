"""Puts what was trained into the package: `python -m training.ship`.

Copies the model, the draft model (which needs no tokenizer of its own), the held-out instances and
the guide's paragraphs to `src/sglite/embedded/`. `sglite eval embedded` measures the result.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from training.make_corpus import DATA_DIR
from training.train import DRAFT_DIR, RUN_DIR, TOKENIZER_FILES

EMBEDDED_DIR = Path(__file__).parent.parent / "src" / "sglite" / "embedded"
MODEL_FILES = ("config.json", "generation_config.json", "model.safetensors")
DATA_FILES = ("eval.jsonl", "guide.json")


def ship(out_dir: Path, *, run_dir: Path, draft_dir: Path, data_dir: Path) -> int:
    """Copies all files to `out_dir`; returns their size in bytes. OSError if one is missing."""
    draft_out = out_dir / "draft"
    draft_out.mkdir(parents=True, exist_ok=True)
    copies = {
        **{run_dir / "model" / name: out_dir / name for name in MODEL_FILES + TOKENIZER_FILES},
        **{draft_dir / "model" / name: draft_out / name for name in MODEL_FILES},
        **{data_dir / name: out_dir / name for name in DATA_FILES},
    }
    for source, target in copies.items():
        shutil.copyfile(source, target)
    return sum(target.stat().st_size for target in copies.values())


def main() -> None:
    """The command line."""
    num_bytes = ship(EMBEDDED_DIR, run_dir=RUN_DIR, draft_dir=DRAFT_DIR, data_dir=DATA_DIR)
    print(f"{EMBEDDED_DIR}: {num_bytes / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
