"""Variants of ``kernels/draw``."""

from __future__ import annotations

from typing import Any

from sglite.kernels.draw import triton_draw
from tools.gpu_kernels.compiling import Variant


def variants() -> list[Variant]:
    """The race over the blocks of the vocabulary, and what makes a token of their winners."""
    more = {
        "min_ps": "*fp32",
        "top_ks": "*i64",
        "last_tokens": "*i64",
        "token_ids": "*i32",
    }
    return [
        _draw("blocks", triton_draw.race_kernel, {}, {}, num_warps=8),
        _draw("tokens", triton_draw.winner_kernel, more, {"NUM_BLOCKS": 64}, num_warps=32),
    ]


def _draw(
    name: str, kernel: Any, more: dict[str, str], constants: dict[str, Any], *, num_warps: int
) -> Variant:
    types = {
        "logits": "*bf16",
        "vocab_size": "i32",
        "stride": "i32",
        **dict.fromkeys(("rows", "positions", "tokens"), "*i32"),
        **dict.fromkeys(("temperatures", "top_ps", "peaks", "scores", "sums"), "*fp32"),
        "seeds": "*i64",
        "num_blocks": "i32",
        **more,
    }
    return Variant(
        f"draw, {name}",
        kernel,
        types,
        {"BLOCK": triton_draw.BLOCK, **constants},
        {"num_warps": num_warps},
        multiples_of_16=("vocab_size", "stride"),
    )
