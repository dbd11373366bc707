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
    from sglite.kernels.rms_norm import triton_rms_norm
    from sglite.kernels.rotary_store import triton_rotary_store

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
    found += _attention_variants()
    found.append(
        Variant(
            "draw, blocks",
            triton_draw.race_kernel,
            {
                "logits": half,
                "temperatures": "*fp32",
                "keys": words,
                "scores": "*fp32",
                "tokens": words,
                "vocab_size": "i32",
                "stride": "i32",
                "num_blocks": "i32",
            },
            {"BLOCK": triton_draw.BLOCK},
            {"num_warps": 8},
        )
    )
    found.append(
        Variant(
            "draw, winners",
            triton_draw.winner_kernel,
            {"scores": "*fp32", "tokens": words, "token_ids": "*i64", "num_blocks": "i32"},
            {"BLOCKS": 64},
            {"num_warps": 1},
        )
    )
    return found


def _attention_variants() -> list[Variant]:
    """Attention: decode with 2 and 5 heads a KV head, chunks, and loads by descriptors."""
    from sglite.kernels.paged_attention import triton_attention

    found = []
    for name, heads, head_dim, page_size, rows, descriptors in (
        ("decode, 2 heads a KV head", 16, 128, 64, 16, False),
        ("decode, 5 heads a KV head", 40, 128, 64, 16, False),
        ("decode, heads of 64", 16, 64, 64, 16, False),
        ("decode, pages of 16", 16, 128, 16, 16, False),
        ("decode, descriptors", 16, 128, 64, 16, True),
        ("chunk, 2 heads a KV head", 16, 128, 64, 128, False),
        ("chunk, 5 heads a KV head", 40, 128, 64, 128, False),
        ("chunk, descriptors", 16, 128, 64, 128, True),
    ):
        is_chunk = rows > 16
        types = {
            **dict.fromkeys(("q", "k_pool", "v_pool", "out"), "*bf16"),
            "partials": "*fp32",
            **dict.fromkeys(("page_table", "items", "queries"), "*i32"),
            **dict.fromkeys(("scale", "softcap"), "fp32"),
            **dict.fromkeys(("window", "table_stride"), "i32"),
        }
        absent = ["k_scale", "v_scale"]
        if descriptors:
            types |= dict.fromkeys(("k_tiles", "v_tiles"), f"tensordesc<bf16[64, {head_dim}]>")
        else:
            absent += ["k_tiles", "v_tiles"]
        constants = {
            **dict.fromkeys(absent),
            "NUM_KV_HEADS": 8,
            "GROUP": heads // 8,
            "HEAD_DIM": head_dim,
            "BLOCK_DIM": head_dim,
            "ROWS": rows,
            "KEYS": 64,
            "PAGE_SIZE": page_size,
            "SLOT_STRIDE": 8 * head_dim,
            "HEAD_STRIDE": head_dim,
            "IS_CAUSAL": is_chunk,
            "HAS_WINDOW": False,
            "HAS_SOFTCAP": False,
            "SPLITS_EDGES": is_chunk or descriptors,
            "STAGES": 3,
        }
        options = {"num_warps": 8 if is_chunk else 4}
        kernel = triton_attention.attend_kernel
        found.append(Variant(f"attend, {name}", kernel, types, constants, options))
    merge_types = {
        "partials": "*fp32", "merges": "*i32", "slot_tokens": "*i32", "out": "*bf16",
    }  # fmt: skip
    merge_constants = {
        "NUM_KV_HEADS": 8, "GROUP": 2, "HEAD_DIM": 128, "BLOCK_DIM": 128,
        "PARTS": triton_attention.MERGED_AT_ONCE,
    }  # fmt: skip
    kernel = triton_attention.merge_kernel
    found.append(Variant("merge", kernel, merge_types, merge_constants, {"num_warps": 2}))
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
