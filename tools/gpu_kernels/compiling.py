"""One Triton kernel, compiled for a Hopper GPU on a machine that has none."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from typing import Any

ARCHITECTURE = 90
MAX_SHARED_BYTES = 227 << 10
"""What a block of threads may have on this architecture."""


@dataclass(frozen=True)
class Variant:
    """A kernel with one set of types and constants.

    ``types`` has the arguments that are no constants, by name, with Triton's names of types
    (``*bf16`` is a pointer, ``i32`` a number). Pointers are taken to be multiples of 16 bytes, as
    torch's are, and so are the numbers in ``multiples_of_16``: a launch finds that out by itself,
    and wide loads depend on it. ``options`` are those of a launch (``num_warps``).
    """

    name: str
    kernel: Any
    types: dict[str, str]
    constants: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    multiples_of_16: tuple[str, ...] = ()


@dataclass(frozen=True)
class Usage:
    """What a kernel takes: registers and spilled bytes of a thread, shared memory of a block.

    ``products`` counts the instructions that multiply matrices.
    """

    registers: int
    spilled_bytes: int
    shared_bytes: int
    products: int

    @property
    def is_too_much(self) -> bool:
        """True where the kernel would run slowly, or not at all."""
        return self.spilled_bytes > 0 or self.shared_bytes > MAX_SHARED_BYTES


def compile_variant(variant: Variant) -> Usage:
    """Compile for the architecture. Raises what Triton raises for a kernel that it cannot."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = variant.kernel.arg_names
    signature = {**variant.types, **dict.fromkeys(variant.constants, "constexpr")}
    pointers = [name for name, kind in variant.types.items() if kind.startswith("*")]
    source = ASTSource(
        fn=variant.kernel,
        signature={name: signature[name] for name in names},
        constexprs={(names.index(name),): value for name, value in variant.constants.items()},
        attrs={
            (names.index(name),): [["tt.divisibility", 16]]
            for name in (*pointers, *variant.multiples_of_16)
        },
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
