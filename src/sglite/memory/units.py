"""Amounts of memory in words."""

from __future__ import annotations

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def amount(num_bytes: int) -> str:
    """``num_bytes`` in the largest unit that leaves at least 1; beyond all units as ``1.5e+30 B``.

    Never rounded to 0: what is less than 1 KiB is told in bytes.
    """
    value, unit = float(num_bytes), 0
    while value >= 1024 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    if value >= 1024:
        return f"{num_bytes:.1e} B"
    return f"{value:,.{0 if unit == 0 else 2}f} {UNITS[unit]}"
