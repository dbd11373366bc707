"""The families in one list."""

from __future__ import annotations

from sglite.bench.gpu_suite.kernel_checks import (
    attention_cases,
    draw_cases,
    gated_cases,
    linear_cases,
    norm_cases,
    read_cases,
    rotary_cases,
    step_cases,
    work_cases,
)
from sglite.bench.gpu_suite.kernel_checks.case import Case

FAMILIES = (
    norm_cases,
    gated_cases,
    rotary_cases,
    linear_cases,
    draw_cases,
    step_cases,
    read_cases,
    attention_cases,
    work_cases,
)
"""What is simple comes first: the kernel that may break the device is that of attention."""


def all_cases() -> list[Case]:
    """Every case of every family."""
    return [case for family in FAMILIES for case in family.cases()]
