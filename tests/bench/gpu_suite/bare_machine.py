"""A machine with torch and little else, for processes that tests start."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NOT_THERE = (
    "jinja2",
    "msgspec",
    "prompt_toolkit",
    "pydantic",
    "rich",
    "safetensors",
    "starlette",
    "tokenizers",
    "transformers",
    "uvicorn",
    "yaml",
    "zmq",
    "sglite.kernels.cpu._cpu",
)

SITE = f"""
import sys


class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        is_there = not any(f"{{name}}.".startswith(f"{{other}}.") for other in {NOT_THERE})
        return self.finder.find_spec(name, path, target) if is_there else None


sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


def environment(directory: Path) -> dict[str, str]:
    """Variables for a process in which none of ``NOT_THERE`` is installed; sglite is the source."""
    (directory / "sitecustomize.py").write_text(SITE)
    path = f"{directory}:{ROOT / 'src'}"
    return {**os.environ, "PYTHONPATH": path, "TRITON_INTERPRET": "0"}
