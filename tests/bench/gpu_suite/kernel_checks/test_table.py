from __future__ import annotations

from pathlib import Path

import sglite.kernels
from sglite.bench.gpu_suite.kernel_checks.table import all_cases

KERNELS = Path(sglite.kernels.__file__).parent


def test_every_kernel_of_triton_has_cases_small_and_large():
    with_triton = {path.parent.name for path in KERNELS.glob("*/triton_*.py")}
    assert with_triton
    for is_large in (False, True):
        checked = {case.kernel for case in all_cases() if case.is_large == is_large}
        assert checked == with_triton


def test_names_tell_cases_apart():
    names = [(case.kernel, case.name) for case in all_cases()]
    assert len(set(names)) == len(names)
