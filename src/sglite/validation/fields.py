"""Checks of single values: each returns the clean value or raises RequestError naming the field.

Messages show at most a few characters of what came in, escaped, so that a hostile value cannot
fill or break a log line or an error body.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sglite.errors import RequestError

INT32_MAX = 2**31 - 1
INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1
FLOAT32_MAX = 3.4e38

_SHOWN_CHARACTERS = 40
_SHOWN_BITS = 128


def shown(value: object) -> str:
    """A short, ASCII description of a value from outside, in JSON's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # Very long integers are costly to write, and Python refuses the longest.
        short = value.bit_length() <= _SHOWN_BITS
        return f"{value:,}" if short else f"an integer of {value.bit_length():,} bits"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        cut = "..." if len(value) > _SHOWN_CHARACTERS else ""
        return ascii(value[:_SHOWN_CHARACTERS]) + cut
    if isinstance(value, (list, tuple)):
        return "a list"
    return "an object" if isinstance(value, dict) else f"a {type(value).__name__}"


def integer(field: str, value: object, *, ge: int, le: int) -> int:
    """An integer in [ge, le]."""
    if type(value) is not int:
        raise RequestError(f"{field} must be an integer, got {shown(value)}", param=field)
    if not ge <= value <= le:
        raise RequestError(
            f"{field} must be from {ge:,} to {le:,}, got {shown(value)}", param=field
        )
    return value


def number(
    field: str,
    value: object,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
) -> float:
    """A finite number, integers too, in a range; -0.0 becomes 0.0."""
    if type(value) is not int and type(value) is not float:
        raise RequestError(f"{field} must be a number, got {shown(value)}", param=field)
    too_long = type(value) is int and value.bit_length() > 1023
    if too_long or not math.isfinite(value):
        raise RequestError(f"{field} must be a finite number, got {shown(value)}", param=field)
    low = ge is None or value >= ge
    low = low and (gt is None or value > gt)
    if not low or (le is not None and value > le):
        raise RequestError(
            f"{field} must be {_range_text(ge, gt, le)}, got {shown(value)}", param=field
        )
    return float(value) + 0.0


def _range_text(ge: float | None, gt: float | None, le: float | None) -> str:
    parts = []
    if ge is not None:
        parts.append(f"at least {ge:g}")
    if gt is not None:
        parts.append(f"above {gt:g}")
    if le is not None:
        parts.append(f"at most {le:g}")
    return " and ".join(parts)


def boolean(field: str, value: object) -> bool:
    """True or false, and nothing that merely looks like it."""
    if type(value) is not bool:
        raise RequestError(f"{field} must be true or false, got {shown(value)}", param=field)
    return value


def string(field: str, value: object, *, max_length: int) -> str:
    """A non-empty string of Unicode text; a lone surrogate could not be written as UTF-8."""
    if type(value) is not str:
        raise RequestError(f"{field} must be a string, got {shown(value)}", param=field)
    if not 1 <= len(value) <= max_length:
        raise RequestError(
            f"{field} must have from 1 to {max_length:,} characters, got {len(value):,}",
            param=field,
        )
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise RequestError(
            f"{field} must be valid Unicode, got the lone surrogate in {shown(value)}",
            param=field,
        )
    return value


def strings(field: str, value: object, *, max_items: int, max_length: int) -> tuple[str, ...]:
    """A string or a list of strings, each as :func:`string` has it."""
    if isinstance(value, str):
        return (string(field, value, max_length=max_length),)
    if not isinstance(value, (list, tuple)):
        raise RequestError(
            f"{field} must be a string or a list of strings, got {shown(value)}", param=field
        )
    if len(value) > max_items:
        raise RequestError(
            f"{field} must have at most {max_items:,} entries, got {len(value):,}", param=field
        )
    return tuple(string(field, entry, max_length=max_length) for entry in value)


def integers(field: str, value: object, *, max_items: int, ge: int, le: int) -> tuple[int, ...]:
    """A list of integers in [ge, le]."""
    if not isinstance(value, (list, tuple)):
        raise RequestError(f"{field} must be a list of integers, got {shown(value)}", param=field)
    if len(value) > max_items:
        raise RequestError(
            f"{field} must have at most {max_items:,} entries, got {len(value):,}", param=field
        )
    return tuple(integer(field, entry, ge=ge, le=le) for entry in value)


def token_ids(field: str, ids: Sequence[int], *, vocab_size: int) -> None:
    """Every id is an integer of the vocabulary; quick on long prompts."""
    if not ids:
        return
    if set(map(type, ids)) != {int}:
        wrong = next(entry for entry in ids if type(entry) is not int)
        raise RequestError(f"{field} must hold integers only, got {shown(wrong)}", param=field)
    wrong = max(ids) if min(ids) >= 0 else min(ids)
    if not 0 <= wrong < vocab_size:
        raise RequestError(
            f"{field} holds {shown(wrong)}; the token ids of this model are 0 to "
            f"{vocab_size - 1:,}",
            param=field,
        )
