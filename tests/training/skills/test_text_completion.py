"""Texts to go on with: together with the answer they are whole, true sentences."""

from __future__ import annotations

import re

from tests.training.drawing import draws
from training.skills.countries import COUNTRIES
from training.skills.text_completion import SENTENCES, SEQUENCES

EXAMPLES = draws("text_completion", 3_000)


def test_sequences_and_sentences_are_cut_where_they_go_on_in_one_way_only() -> None:
    beginnings = [" ".join(text.split()[:3]) for text in SENTENCES + SEQUENCES]
    assert len(beginnings) == len(set(beginnings))
    cut = [
        example for example in EXAMPLES if example.text + example.answer in SENTENCES + SEQUENCES
    ]
    assert len(cut) > 500
    assert all(example.key == "" for example in cut)


def test_capitals_are_those_of_their_countries() -> None:
    facts = {one.name.lower(): one.capital.removesuffix(".") for one in COUNTRIES}
    num_checked = 0
    for example in EXAMPLES:
        asked = re.search(r"the capital (?:city )?of ([^.]+) is$", example.text.lower())
        if asked:
            num_checked += 1
            assert example.answer == f" {facts[asked[1]]}.", example
    assert num_checked > 500


def test_the_rest_of_a_text_begins_with_a_blank() -> None:
    assert all(re.match(r" \S", example.answer) for example in EXAMPLES)
