"""Programmatic dependent launch: a kernel starts while the one before it still runs.

In a chain of kernels that take a few microseconds each, the way from the end of one to the start of
the next is a large part of the time. A kernel that is launched as a dependent (CUDA, from Hopper
on) takes its places on the GPU as soon as every program of the kernel before it has called
:func:`let_next_start` or ended. It may then read what no kernel writes, the weights, and waits in
:func:`wait_for_previous` until the kernel before it has ended and all that it stored can be seen.

Every program waits before it reads what a kernel wrote and before it stores anything. So the end of
a kernel is the end of all before it, and neither results nor memory that is used again is touched
too early. ``IS_DEPENDENT`` and the launch itself come from ``triton_support.dependent_launch``.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def let_next_start(IS_DEPENDENT: tl.constexpr):
    """The next kernel may take what room there is."""
    if IS_DEPENDENT:
        tl.extra.cuda.gdc_launch_dependents()


@triton.jit
def wait_for_previous(IS_DEPENDENT: tl.constexpr):
    """Go on when the kernels before this one have ended."""
    if IS_DEPENDENT:
        tl.extra.cuda.gdc_wait()
