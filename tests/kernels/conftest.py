"""Triton kernels run in Triton's interpreter where there is no GPU.

It is chosen when a kernel's module is imported, so it is asked for before any test is.
"""

from __future__ import annotations

import importlib.util

import torch

if importlib.util.find_spec("triton") is not None and not torch.cuda.is_available():
    import triton

    from tests.kernels import triton_bfloat16

    triton.knobs.runtime.interpret = True
    triton_bfloat16.make_exact()
