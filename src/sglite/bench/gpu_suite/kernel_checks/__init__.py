"""Every Triton kernel against its reference: a table of cases, nasty ones first.

A family is a module with ``cases()``. On a GPU the kernel runs there; without one, Triton's
interpreter stands in where ``TRITON_INTERPRET=1`` was set before the start, and elsewhere the
reference is compared with itself, which tries the cases and nothing more.
"""

from sglite.bench.gpu_suite.kernel_checks.case import Case, Pair, Place
from sglite.bench.gpu_suite.kernel_checks.table import all_cases

__all__ = ["Case", "Pair", "Place", "all_cases"]
