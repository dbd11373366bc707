"""Stories: hero, trait and place of the request decide every word."""

from __future__ import annotations

from tests.training.drawing import draws, question
from training.skills.stories import HEROES, PLACES, TRAITS, tell


def test_a_story_is_about_what_was_asked() -> None:
    for example in draws("stories"):
        asked = question(example).lower().split(" about ")[-1].rstrip("?.")
        for hero in HEROES:
            if hero in asked.split():
                assert f" {hero} " in example.answer, example
        for trait, deed in TRAITS.items():
            if trait in asked.split():
                assert f"The {trait} " in example.answer and deed in example.answer, example
        for place, met in PLACES.items():
            if place in asked:
                assert place in example.answer and met in example.answer, example


def test_every_story_is_told_once_only() -> None:
    stories = {tell(hero, trait, place) for hero in HEROES for trait in TRAITS for place in PLACES}
    assert len(stories) == len(HEROES) * len(TRAITS) * len(PLACES)


def test_articles_fit() -> None:
    assert tell("owl", "old", "by the sea").startswith("Once there was an old owl by the sea. ")
    assert tell("fox", "shy", "in a cave").startswith("Once there was a shy fox in a cave. ")
