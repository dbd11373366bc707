"""Amounts of memory in words."""

from __future__ import annotations

import re

from sglite.errors import ConfigError

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*(?:([kmgt])(i?))?b?", re.IGNORECASE | re.ASCII)


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


def parse_amount(text: str) -> int:
    """``"141GB"``, ``"80 GiB"`` or a number of bytes as bytes; ConfigError for anything else.

    KB, MB, GB, TB are powers of 1000, with an i in the middle of 1024.
    """
    found = AMOUNT.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{text!r:.80} is not an amount of memory; write it like 80GiB or 141GB")
    number, prefix, binary = found.groups()
    base = 1024 if binary else 1000
    return int(float(number) * base ** " kmgt".index((prefix or " ").lower()))
