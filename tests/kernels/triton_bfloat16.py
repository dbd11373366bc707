"""Makes Triton's interpreter compute bfloat16 by value.

It keeps bfloat16 as its 16 bits in numpy's integers, and adds and multiplies these. Here every
operation on such numbers is done in float32 and rounded to the nearest, ties to even, as a GPU
does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def make_exact() -> None:
    """Patch the interpreter, once."""
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    if getattr(InterpreterBuilder, "has_exact_bfloat16", False):
        return
    InterpreterBuilder.has_exact_bfloat16 = True

    def is_bfloat16(handle: Any) -> bool:
        return isinstance(handle, TensorHandle) and handle.dtype.scalar == tl.bfloat16

    def wide(handle: Any) -> Any:
        if not is_bfloat16(handle):
            return handle
        return TensorHandle(_widen(handle.data), tl.float32)

    cast = InterpreterBuilder.cast_impl

    def exact_cast(self: Any, source: Any, target_type: Any) -> Any:
        target = target_type.scalar
        if source.dtype.scalar == tl.bfloat16:
            if target == tl.bfloat16:
                return TensorHandle(source.data, target)
            return (
                exact_cast(self, wide(source), target_type)
                if target != tl.float32
                else wide(source)
            )
        if target == tl.bfloat16:
            return TensorHandle(_narrow(source.data.astype(np.float32)), target)
        return cast(self, source, target_type)

    InterpreterBuilder.cast_impl = exact_cast
    for name in ("create_si_to_fp", "create_ui_to_fp", "create_fp_to_si", "create_fp_to_ui",
                 "create_fp_ext", "create_fp_trunc"):  # fmt: skip
        setattr(
            InterpreterBuilder, name, lambda self, source, target: self.cast_impl(source, target)
        )

    binary, unary = InterpreterBuilder.binary_op, InterpreterBuilder.unary_op
    product = InterpreterBuilder.create_dot

    def exact_binary(self: Any, left: Any, right: Any, operation: Callable[..., Any]) -> Any:
        if not (is_bfloat16(left) or is_bfloat16(right)):
            return binary(self, left, right, operation)
        result = operation(wide(left).data, wide(right).data)
        if result.dtype == np.bool_:
            return TensorHandle(result, tl.int1)
        return TensorHandle(_narrow(result), tl.bfloat16)

    def exact_unary(self: Any, argument: Any, operation: Callable[..., Any]) -> Any:
        if not is_bfloat16(argument):
            return unary(self, argument, operation)
        return TensorHandle(_narrow(operation(wide(argument).data)), tl.bfloat16)

    def exact_product(self: Any, left: Any, right: Any, *others: Any) -> Any:
        return product(self, wide(left), wide(right), *others)

    InterpreterBuilder.binary_op = exact_binary
    InterpreterBuilder.unary_op = exact_unary
    InterpreterBuilder.create_dot = exact_product


def _widen(bits: Any) -> Any:
    return (np.asarray(bits).astype(np.uint32) << 16).view(np.float32)


def _narrow(values: Any) -> Any:
    values = np.ascontiguousarray(values, dtype=np.float32)
    bits = values.view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded).reshape(values.shape)
