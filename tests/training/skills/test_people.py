"""Names and things: ASCII, listed once, and readable in a sentence."""

from __future__ import annotations

import random

import pytest

from training.skills import people

LISTS = {
    name: list(value)
    for name, value in vars(people).items()
    if name.isupper() and isinstance(value, list | dict)
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_every_entry_once(name: str) -> None:
    entries = LISTS[name]
    assert len(entries) == len(set(entries)) >= 7
    assert all(one.isascii() and one == one.strip() and one for one in entries)


def test_articles_fit() -> None:
    assert people.with_article("actor") == "an actor"
    assert people.with_article("baker") == "a baker"


def test_names_are_of_one_or_two_words() -> None:
    rng = random.Random(0)
    names = [people.name(rng) for _ in range(2_000)]
    assert {len(name.split()) for name in names} == {1, 2}
    assert len(set(names)) > 1_000
    assert all(len(people.full_name(rng).split()) == 2 for _ in range(100))
    assert people.book_title(rng).startswith("The ")
