"""Reading a checkpoint's rotary settings: refuses by name what it does not know.

The keys, their defaults and their precedence are those of transformers' ``modeling_rope_utils``.
"""

from __future__ import annotations

import math
from typing import Any, cast

from sglite.errors import ModelLoadError
from sglite.models.hf_config import HFConfig, matches_kind, shown
from sglite.models.spec import ROPE_TYPES, RopeSpec, RopeType


class RopeTable:
    """The rotary settings of one config.json; null counts as absent."""

    def __init__(self, hf: HFConfig) -> None:
        self.hf = hf
        self.values: dict[str, Any] = hf.rope_parameters()
        self.rope_type = self._known_type()
        if self.number("partial_rotary_factor", 1.0) != 1.0:
            raise ModelLoadError("partial_rotary_factor other than 1 is not supported")

    def _known_type(self) -> RopeType:
        rope_type = self.values.get("rope_type") or "default"
        if rope_type not in ROPE_TYPES:
            raise ModelLoadError(
                f"rope_type {shown(rope_type)} is not supported; supported are "
                + ", ".join(ROPE_TYPES)
            )
        return cast(RopeType, rope_type)

    def number(self, key: str, default: float | None = None) -> float:
        """A number; without a default the key is required."""
        value = self.values.get(key)
        if value is None:
            value = default
        if not matches_kind(value, float):
            found = "missing" if value is None else f"{shown(value)}, expected a number"
            raise ModelLoadError(f"{key} of rope_type {self.rope_type!r} is {found}")
        return float(cast(float, value))

    def factor(self) -> float:
        """The required scaling factor, at least 1; a null one follows from the lengths (yarn)."""
        default = None
        if self.rope_type == "yarn" and "factor" in self.values:
            default = self.hf.require("max_position_embeddings", int) / self.original_length()
        factor = self.number("factor", default)
        if factor < 1:
            raise ModelLoadError(
                f"factor of rope_type {self.rope_type!r} is {factor}, expected >= 1"
            )
        return factor

    def original_length(self) -> int:
        """Trained context: the config's own key, else that of the settings, else the maximum."""
        key = "original_max_position_embeddings"
        stated = self.hf.get(key, 0) or self.number(key, 0)
        length = int(stated) or self.hf.require("max_position_embeddings", int)
        if length < 1:
            raise ModelLoadError(f"{key} is {length}, expected an integer >= 1")
        return length


def rope_from_hf(hf: HFConfig) -> RopeSpec:
    """The rotary embedding of a checkpoint; ModelLoadError names an unknown type or a bad key."""
    table = RopeTable(hf)
    if table.number("rope_theta") <= 1:
        raise ModelLoadError(f"rope_theta is {table.number('rope_theta')}, expected a number > 1")
    if table.rope_type == "linear":
        return _spec(table, factor=table.factor())
    if table.rope_type == "dynamic":
        length = hf.require("max_position_embeddings", int)
        return _spec(table, factor=table.factor(), original_context_length=length)
    if table.rope_type == "llama3":
        return _llama3(table)
    if table.rope_type == "yarn":
        return _yarn(table)
    return _spec(table)


def context_length(hf: HFConfig, rope: RopeSpec) -> int:
    """Positions the model is good for: what the config says, extended by the scaling factor.

    ``max_position_embeddings`` counts before scaling for linear, dynamic and most yarn configs
    and after scaling for llama3 ones.
    """
    stated = hf.require("max_position_embeddings", int)
    if rope.rope_type in ("linear", "dynamic"):
        return int(stated * rope.factor)
    if rope.rope_type == "yarn":
        return max(stated, int(rope.original_context_length * rope.factor))
    return stated


def _spec(table: RopeTable, **fields: Any) -> RopeSpec:
    return RopeSpec(rope_type=table.rope_type, theta=table.number("rope_theta"), **fields)


def _llama3(table: RopeTable) -> RopeSpec:
    low = table.number("low_freq_factor")
    high = table.number("high_freq_factor")
    if not 0 < low < high:
        raise ModelLoadError(
            f"low_freq_factor {low} and high_freq_factor {high} of rope_type 'llama3':"
            " expected 0 < low < high"
        )
    return _spec(
        table,
        factor=table.factor(),
        original_context_length=table.original_length(),
        low_freq_factor=low,
        high_freq_factor=high,
    )


def _yarn(table: RopeTable) -> RopeSpec:
    factor = table.factor()
    truncate = table.values.get("truncate", True)
    if not isinstance(truncate, bool):
        raise ModelLoadError(
            f"truncate of rope_type 'yarn' is {shown(truncate)}, expected true or false"
        )
    return _spec(
        table,
        factor=factor,
        original_context_length=table.original_length(),
        attention_factor=_yarn_attention_factor(table, factor),
        beta_fast=table.number("beta_fast", 0) or 32.0,
        beta_slow=table.number("beta_slow", 0) or 1.0,
        truncate=truncate,
    )


def _yarn_attention_factor(table: RopeTable, factor: float) -> float:
    """The stated factor, else the paper's 0.1 ln(factor) + 1, weighted where both mscales are."""
    if table.values.get("attention_factor") is not None:
        return table.number("attention_factor")
    mscale = table.number("mscale", 0)
    mscale_all_dim = table.number("mscale_all_dim", 0)
    if mscale and mscale_all_dim:
        return _mscale(factor, mscale) / _mscale(factor, mscale_all_dim)
    return _mscale(factor, 1.0)


def _mscale(factor: float, weight: float) -> float:
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0
