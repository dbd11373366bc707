"""Variants of the small kernels around a step: ``step_inputs``, ``page_table``, ``page_copy``."""

from __future__ import annotations

from sglite.kernels.page_copy import triton_page_copy
from sglite.kernels.page_table import triton_page_table
from sglite.kernels.step_inputs import triton_step_inputs
from tools.gpu_kernels.compiling import Variant


def variants() -> list[Variant]:
    """One of each; they differ in nothing between models."""
    words, long, number = "*i32", "*i64", "i32"
    return [
        Variant(
            "step_inputs",
            triton_step_inputs.step_inputs_kernel,
            {
                **dict.fromkeys(("rows", "positions", "known", "page_table"), words),
                **dict.fromkeys(("last_tokens", "input_ids", "positions_out", "out_slots"), long),
                **dict.fromkeys(("num_tokens", "table_stride"), number),
            },
            {"PAGE_SIZE": 64, "IS_FIRST": True, "BLOCK": triton_step_inputs.BLOCK},
        ),
        Variant(
            "page_table",
            triton_page_table.update_kernel,
            {
                **dict.fromkeys(("table", "updates"), words),
                **dict.fromkeys(("num_updates", "table_stride"), number),
            },
            {"BLOCK": triton_page_table.BLOCK},
        ),
        Variant(
            "page_copy",
            triton_page_copy.copy_kernel,
            {
                "pages": long,
                **dict.fromkeys(("sources", "targets"), words),
                **dict.fromkeys(("page_words", "num_pages"), number),
            },
            {"BLOCK": triton_page_copy.BLOCK},
        ),
    ]
