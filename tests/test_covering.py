"""The covering sets cover what they claim, in few rows, always the same."""

from itertools import combinations, product

import pytest

from tests.covering import covering_array

FACTORS = {
    "page_size": [1, 2, 16, 64],
    "chunk": [1, 7, 16, 512],
    "cache": ["off", "on", "full hit"],
    "batch": [1, 2, 7, 64],
    "retraction": [False, True],
    "in_flight": [1, 2],
}


def uncovered(rows, factors, strength):
    missing = []
    for names in combinations(factors, strength):
        seen = {tuple(row[name] for name in names) for row in rows}
        missing += [
            (names, values)
            for values in product(*(factors[name] for name in names))
            if values not in seen
        ]
    return missing


@pytest.mark.parametrize("strength", [1, 2, 3])
def test_every_combination_of_that_many_factors_occurs(strength):
    rows = covering_array(FACTORS, strength=strength)

    assert uncovered(rows, FACTORS, strength) == []


@pytest.mark.parametrize(("strength", "most_rows"), [(1, 4), (2, 22), (3, 90)])
def test_it_is_far_smaller_than_the_product(strength, most_rows):
    assert len(covering_array(FACTORS, strength=strength)) <= most_rows


def test_it_is_the_same_every_time():
    assert covering_array(FACTORS, strength=2) == covering_array(FACTORS, strength=2)


def test_the_check_notices_a_missing_row():
    rows = covering_array(FACTORS, strength=2)

    assert any(
        uncovered(rows[:index] + rows[index + 1 :], FACTORS, 2) for index in range(len(rows))
    )


def test_full_strength_is_the_product():
    factors = {"a": [1, 2], "b": ["x", "y", "z"]}

    assert len(covering_array(factors, strength=2)) == 6
