"""The model that ships with sglite, so that it runs offline from the first minute.

Step: none of the 8; this package is data.
Receives: nothing.
Hands on: the path of a model directory in Hugging Face's form, to whoever loads models; in its
folder ``draft/`` a smaller model of the same vocabulary, for speculation; ``eval.jsonl`` and
``guide.json``, which measure both.
Does not know about: everything else. How the models were made is in ``training/``.
"""

from __future__ import annotations

from pathlib import Path

EMBEDDED_MODEL_DIR: Path = Path(__file__).parent
"""The embedded model's directory: config, tokenizer and weights."""

EMBEDDED_MODEL_DESCRIPTION = (
    "embedded model: Qwen3, 3 M parameters, a guide to sglite; also capitals, sums, JSON, tools"
)
"""One line for people who have not chosen a model."""
