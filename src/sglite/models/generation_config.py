"""generation_config.json: what the maker of a model says its texts end with and are sampled by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sglite.errors import ModelLoadError
from sglite.models.hf_config import HFConfig, matches_kind, read_json_object, shown

# Closed ranges of what sglite can sample with; the file is refused outside of them.
RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 100.0),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 100.0),
}
MAX_TOP_K = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationDefaults:
    """Sampling values that a request takes where it states none; None where the model is silent.

    ``do_sample: false`` becomes temperature 0. ``top_k`` 0 in the file means all tokens and
    becomes None. ``eos_token_ids`` come from generation_config.json, from config.json where that
    is silent.
    """

    eos_token_ids: tuple[int, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None

    @classmethod
    def from_directory(cls, directory: str | Path, hf: HFConfig) -> GenerationDefaults:
        """Read ``directory/generation_config.json``; the file may be missing."""
        path = Path(directory) / "generation_config.json"
        raw = read_json_object(path) if path.exists() else {}
        values: dict[str, Any] = {key: _number(raw, key, path) for key in RANGES}
        if raw.get("do_sample") is False:
            values["temperature"] = 0.0
        return cls(
            eos_token_ids=HFConfig(raw=raw, path=path).eos_token_ids or hf.eos_token_ids,
            top_k=_top_k(raw, path),
            **values,
        )


def _number(raw: Mapping[str, Any], key: str, path: Path) -> float | None:
    value = raw.get(key)
    if value is None:
        return None
    low, high = RANGES[key]
    if not matches_kind(value, float) or not low <= value <= high:
        raise ModelLoadError(f"{path}: {key} is {shown(value)}, expected from {low:g} to {high:g}")
    return float(value)


def _top_k(raw: Mapping[str, Any], path: Path) -> int | None:
    value = raw.get("top_k")
    if value is None or value in (0, -1):
        return None
    if not matches_kind(value, int) or not 1 <= value <= MAX_TOP_K:
        raise ModelLoadError(f"{path}: top_k is {shown(value)}, expected an integer from 0")
    return int(value)
