from __future__ import annotations

import pytest
import torch

from sglite.kernels.triton_support import dependent_launch

triton_dependent = pytest.importorskip("sglite.kernels.triton_dependent")


def test_a_kernel_that_is_not_launched_as_a_dependent_neither_waits_nor_lets_others_start():
    import triton
    import triton.language as tl

    @triton.jit
    def add_one(x, IS_DEPENDENT: tl.constexpr):
        triton_dependent.let_next_start(IS_DEPENDENT)
        triton_dependent.wait_for_previous(IS_DEPENDENT)
        tl.store(x, tl.load(x) + 1)

    x = torch.zeros(1)
    # Off a GPU the launch says so, and what it would call there does not exist.
    add_one[(1,)](x, **dependent_launch(x))
    assert x.item() == 1
