"""Triton's interpreter, where there is no GPU, computes bfloat16 as a GPU does."""

from __future__ import annotations

import importlib.util
import os

if importlib.util.find_spec("triton") is not None and os.environ.get("TRITON_INTERPRET") == "1":
    from tests.kernels import triton_bfloat16

    triton_bfloat16.make_exact()
