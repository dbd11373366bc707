"""The table of docs/gpu-kernels.md: compiles every variant and says what it takes."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from tools.gpu_kernels.compiling import Usage, Variant, compile_variant

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "gpu-kernels.md"
BEGIN, END = "<!-- kernels -->", "<!-- end of kernels -->"

FAMILIES = ("linear", "norms", "gated", "rotary", "attention", "draw", "steps", "reads")
"""Files beside this one, in the order of the table."""


def all_variants() -> list[Variant]:
    """The variants of all families. Imports Triton."""
    families = [importlib.import_module(f"tools.gpu_kernels.{name}") for name in FAMILIES]
    return [variant for family in families for variant in family.variants()]


def table(usages: dict[str, Usage]) -> str:
    """Markdown: a line per kernel."""
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


def with_table(page: str, text: str) -> str:
    """``page`` with ``text`` between its markers."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}"


def main(arguments: list[str]) -> int:
    """Write or print the table; 1 where a kernel takes more than there is."""
    parser = argparse.ArgumentParser(description="Compile every Triton kernel for a Hopper GPU.")
    parser.add_argument("--show", action="store_true", help="print the table, leave the page")
    show = parser.parse_args(arguments).show
    usages = {variant.name: compile_variant(variant) for variant in all_variants()}
    if show:
        print(table(usages))
    else:
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), table(usages)), "utf-8")
    too_much = {name: usage for name, usage in usages.items() if usage.is_too_much}
    for name, usage in too_much.items():
        print(f"{name}: takes more than there is: {usage}", file=sys.stderr)
    return 1 if too_much else 0
