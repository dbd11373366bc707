"""Compile every Triton kernel for a Hopper GPU, without one, and say what each takes of it.

    python tools/gpu_kernels.py [docs/gpu-kernels.md]

Prints a Markdown table, or writes it into a page between its markers. Exit code 1 where a kernel
does not compile, spills registers or needs more shared memory than a block may have.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ARCHITECTURE = 90
MAX_SHARED_BYTES = 227 << 10
BEGIN, END = "<!-- kernels -->", "<!-- end of kernels -->"


@dataclass(frozen=True)
class Variant:
    """A kernel with one set of types and constants. ``pointers`` are Triton's names of types."""

    name: str
    kernel: Any
    types: dict[str, str]
    constants: dict[str, Any]
    options: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Usage:
    """What one thread, or one block of them, takes."""

    registers: int
    spilled_bytes: int
    shared_bytes: int
    products: int


def variants() -> list[Variant]:
    """Those of Qwen3-0.6B and 14B in bfloat16, the shapes that are measured."""
    from sglite.kernels.draw import triton_draw
    from sglite.kernels.gated import triton_gated
    from sglite.kernels.page_copy import triton_page_copy
    from sglite.kernels.page_table import triton_page_table
    from sglite.kernels.paged_attention import triton_attention
    from sglite.kernels.rms_norm import triton_rms_norm
    from sglite.kernels.rotary_store import triton_rotary_store
    from sglite.kernels.step_inputs import triton_step_inputs

    half, words = "*bf16", "*i32"
    found = []
    for size, warps in ((1024, 2), (5120, 16)):
        found.append(
            Variant(
                f"add_rms_norm, {size:,} wide",
                triton_rms_norm.norm_kernel,
                {
                    **dict.fromkeys(("x", "delta", "weight", "out"), half),
                    "size": "i32",
                    "eps": "fp32",
                    "x_stride": "i32",
                    "delta_stride": "i32",
                },
                {"ADDS": True, "BLOCK": 1 << (size - 1).bit_length()},
                {"num_warps": warps},
            )
        )
    found.append(
        Variant(
            "gated, silu",
            triton_gated.gated_kernel,
            {"gate_up": half, "out": half, "size": "i32", "stride": "i32"},
            {"ACTIVATION": "silu", "BLOCK": triton_gated.BLOCK},
        )
    )
    for heads, kv_heads in ((16, 8), (40, 8)):
        found.append(
            Variant(
                f"rotary_store, {heads} and {kv_heads} heads of 128",
                triton_rotary_store.rotary_store_kernel,
                {
                    **dict.fromkeys(("qkv", "q_norm", "k_norm", "cos_sin"), half),
                    "cos_sin_rows": "*i64",
                    "out_slots": "*i64",
                    **dict.fromkeys(("q_out", "k_pool", "v_pool"), half),
                    "eps": "fp32",
                    "token_stride": "i32",
                    "slot_stride": "i32",
                },
                {
                    "NUM_HEADS": heads,
                    "NUM_KV_HEADS": kv_heads,
                    "HEAD_DIM": 128,
                    "HALF": 64,
                    "HAS_NORMS": True,
                },
                {"num_warps": 1},
            )
        )
    for name, heads, rows, warps in (
        ("decode, 2 heads a KV head", 16, 16, 4),
        ("decode, 5 heads a KV head", 40, 16, 4),
        ("chunk, 64 tokens x 2 heads", 16, 128, 8),
    ):
        found.append(
            Variant(
                f"attend, {name}",
                triton_attention.attend_kernel,
                {
                    **dict.fromkeys(("q", "k_pool", "v_pool", "out"), half),
                    "partials": "*fp32",
                    **dict.fromkeys(
                        ("page_table", "items", "query_tokens", "query_slots", "visible"), words
                    ),
                    "scale": "fp32",
                    "softcap": "fp32",
                    "table_stride": "i32",
                    "slot_stride": "i32",
                },
                {
                    "NUM_HEADS": heads,
                    "GROUP": heads // 8,
                    "HEAD_DIM": 128,
                    "BLOCK_DIM": 128,
                    "ROWS": rows,
                    "KEYS": 64,
                    "PAGE_SIZE": 64,
                    "HAS_SOFTCAP": False,
                },
                {"num_warps": warps, "num_stages": 3},
            )
        )
    found.append(
        Variant(
            "merge",
            triton_attention.merge_kernel,
            {"partials": "*fp32", "partial_offsets": words, "out": half},
            {"NUM_HEADS": 16, "HEAD_DIM": 128, "BLOCK_DIM": 128},
            {"num_warps": 1},
        )
    )
    for name, kernel, more, constants, warps in (
        ("blocks", triton_draw.race_kernel, {}, {}, 8),
        (
            "tokens",
            triton_draw.winner_kernel,
            {"min_ps": "*fp32", "top_ks": "*i64", "last_tokens": "*i64", "token_ids": words},
            {"NUM_BLOCKS": 64},
            32,
        ),
    ):
        found.append(
            Variant(
                f"draw, {name}",
                kernel,
                {
                    "logits": half,
                    "vocab_size": "i32",
                    "stride": "i32",
                    **dict.fromkeys(("rows", "positions", "tokens"), words),
                    **dict.fromkeys(("temperatures", "top_ps", "peaks", "scores", "sums"), "*fp32"),
                    "seeds": "*i64",
                    "num_blocks": "i32",
                    **more,
                },
                {"BLOCK": triton_draw.BLOCK, **constants},
                {"num_warps": warps},
            )
        )
    long, number = "*i64", "i32"
    found.append(
        Variant(
            "step_inputs",
            triton_step_inputs.step_inputs_kernel,
            {
                **dict.fromkeys(("rows", "positions", "known", "page_table"), words),
                **dict.fromkeys(("last_tokens", "input_ids", "positions_out", "out_slots"), long),
                **dict.fromkeys(("num_tokens", "table_stride"), number),
            },
            {"PAGE_SIZE": 64, "IS_FIRST": True, "BLOCK": triton_step_inputs.BLOCK},
        )
    )
    found.append(
        Variant(
            "page_table",
            triton_page_table.update_kernel,
            {
                **dict.fromkeys(("table", "updates"), words),
                **dict.fromkeys(("num_updates", "table_stride"), number),
            },
            {"BLOCK": triton_page_table.BLOCK},
        )
    )
    found.append(
        Variant(
            "page_copy",
            triton_page_copy.copy_kernel,
            {
                "pages": long,
                **dict.fromkeys(("sources", "targets"), words),
                **dict.fromkeys(("page_words", "num_pages"), number),
            },
            {"BLOCK": triton_page_copy.BLOCK},
        )
    )
    return found


def compile_variant(variant: Variant) -> Usage:
    """Compile for the architecture. Raises what Triton raises for a kernel that it cannot."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = variant.kernel.arg_names
    signature = {**variant.types, **dict.fromkeys(variant.constants, "constexpr")}
    aligned = [["tt.divisibility", 16]]
    source = ASTSource(
        fn=variant.kernel,
        signature={name: signature[name] for name in names},
        constexprs={(names.index(name),): value for name, value in variant.constants.items()},
        attrs={(names.index(n),): aligned for n, kind in variant.types.items() if kind[0] == "*"},
    )
    target = GPUTarget("cuda", ARCHITECTURE, 32)
    compiled = triton.compile(source, target=target, options=variant.options)
    registers, spilled = _resources(compiled.asm["cubin"])
    ptx = compiled.asm["ptx"]
    products = ptx.count("mma.sync") + ptx.count("wgmma.mma_async")
    return Usage(registers, spilled, compiled.metadata.shared, products)


def _resources(cubin: bytes) -> tuple[int, int]:
    """Registers of a thread, and bytes that did not fit into them."""
    import triton

    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "-res-usage", file.name]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    registers, stack, local = (
        int(found.group(1)) if (found := re.search(rf"{word}:(\d+)", text)) else 0
        for word in ("REG", "STACK", "LOCAL")
    )
    return registers, stack + local


def table(usages: dict[str, Usage]) -> str:
    """Markdown."""
    lines = [
        "| kernel | registers | spilled | shared memory | products of matrices |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, usage in usages.items():
        shared = f"{usage.shared_bytes / 1024:.1f} KiB"
        lines.append(
            f"| {name} | {usage.registers} | {usage.spilled_bytes} | {shared} | {usage.products} |"
        )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """The table, to standard output or into a page."""
    usages = {variant.name: compile_variant(variant) for variant in variants()}
    text = table(usages)
    if arguments:
        page = Path(arguments[0])
        before, rest = page.read_text().split(BEGIN)
        page.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")
    else:
        print(text)
    too_much = [
        name
        for name, usage in usages.items()
        if usage.spilled_bytes or usage.shared_bytes > MAX_SHARED_BYTES
    ]
    for name in too_much:
        print(f"{name}: takes more than there is: {usages[name]}", file=sys.stderr)
    return 1 if too_much else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
