"""Every Triton kernel on this device against its reference, in three types.

All cases are done in bfloat16 first: that is what models have, and time may run out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from sglite.bench.gpu_suite.kernel_checks import Case, Place, all_cases
from sglite.bench.gpu_suite.suite import Suite
from sglite.kernels import triton_support

DTYPES = (torch.bfloat16, torch.float32, torch.float16)


def run(suite: Suite) -> None:
    """All cases; what fails does not keep the others from running."""
    places = list(_places(suite))
    found = [case for case in all_cases() if suite.is_cuda or not case.is_large]
    start_s = time.perf_counter()
    pairs = [(place, case) for place in places for case in found]
    for number, (place, case) in enumerate(pairs):
        if suite.left_s < 0:
            suite.recorder.detail("left out", [name_of(*pair) for pair in pairs[number:]])
            suite.say(f"no time for {len(pairs) - number} of {len(pairs)} cases")
            break
        check(suite, case, place)
    results = suite.recorder.result.checks
    passed = sum(each.passed for each in results)
    suite.say(f"{passed} of {len(results)} in {time.perf_counter() - start_s:.0f} s")


def check(suite: Suite, case: Case, place: Place) -> None:
    """One case in one type. What Triton cannot compile fails the case, with its words."""
    name = name_of(place, case)
    torch.manual_seed(0)
    try:
        error = max(pair.error for pair in case.run(place))
        suite.synchronize()
    except Exception as fault:  # the other kernels are to be checked, too
        # What breaks the device itself ends the part: the next case would only say so again.
        if suite.is_cuda and "CUDA error" in str(fault):
            raise
        suite.check(name, False, f"{type(fault).__name__}: {str(fault)[:500]}")
        return
    suite.check(name, error <= 1, f"{error:.2f} of what is tolerated")


def name_of(place: Place, case: Case) -> str:
    """Under which a case in a type stands in the results."""
    return f"{case.kernel}, {case.name}, {str(place.dtype).removeprefix('torch.')}"


def _places(suite: Suite) -> Iterator[Place]:
    """The device with each type that can be trusted there."""
    uses_triton = suite.is_cuda or triton_support.is_interpreted()
    for dtype in DTYPES:
        if dtype == torch.bfloat16 and uses_triton and not suite.is_cuda:
            continue  # the interpreter computes it wrongly
        yield Place(suite.device, dtype, uses_triton)
