"""Covering arrays: few rows in which every combination of any t factors' values occurs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

Row = dict[str, Any]
Pick = tuple[tuple[int, int], ...]  # (factor, value) pairs, by index, in order of factor


def covering_array(factors: Mapping[str, Sequence[Any]], *, strength: int) -> list[Row]:
    """Rows such that every ``strength`` factors take every combination of their values in some row.

    Deterministic and greedy: a row starts from a combination that is still missing, then each
    other factor takes the value that completes most missing combinations.
    """
    sizes = [len(values) for values in factors.values()]
    assert 1 <= strength <= len(sizes), f"strength {strength} of {len(sizes)} factors"
    missing = dict.fromkeys(all_picks(sizes, strength))
    rows = []
    while missing:
        indices = _next_row(sizes, strength, missing)
        for pick in _picks_in(indices, strength):
            missing.pop(pick, None)
        rows.append(indices)
    names = list(factors)
    return [{name: factors[name][row[index]] for index, name in enumerate(names)} for row in rows]


def all_picks(sizes: Sequence[int], strength: int) -> Iterator[Pick]:
    """Every combination of values of every ``strength`` factors."""
    for chosen in combinations(range(len(sizes)), strength):
        for values in product(*(range(sizes[factor]) for factor in chosen)):
            yield tuple(zip(chosen, values, strict=True))


def _next_row(sizes: Sequence[int], strength: int, missing: dict[Pick, None]) -> list[int]:
    settled = dict(next(iter(missing)))
    # Factors with many values first: they have the most combinations to cover.
    open_factors = sorted(set(range(len(sizes))) - set(settled), key=lambda f: -sizes[f])
    for turn, factor in enumerate(open_factors):
        # Rotating the order in which ties are broken keeps the values of idle factors spread.
        values = [(value + len(missing) + turn) % sizes[factor] for value in range(sizes[factor])]
        settled[factor] = max(
            values, key=lambda value: _gain(settled, factor, value, strength, missing)
        )
    return [settled[factor] for factor in range(len(sizes))]


def _gain(
    settled: dict[int, int], factor: int, value: int, strength: int, missing: dict[Pick, None]
) -> int:
    gain = 0
    for others in combinations(sorted(settled.items()), strength - 1):
        pick = tuple(sorted((*others, (factor, value))))
        gain += pick in missing
    return gain


def _picks_in(row: Sequence[int], strength: int) -> Iterator[Pick]:
    return combinations(tuple(enumerate(row)), strength)
