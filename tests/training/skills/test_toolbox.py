"""Tools on offer: schemas in OpenAI's form, with names that tell them apart."""

from __future__ import annotations

import random

from tests.training.skills.oracles import fits
from training.skills.tool_kinds import KINDS
from training.skills.toolbox import OfferedTool, draw_kind, offer, offer_among, vary_mark


def offers(count: int) -> list[tuple[OfferedTool, list[OfferedTool]]]:
    rng = random.Random(0)
    return [offer_among(rng, draw_kind(rng)) for _ in range(count)]


def test_the_chosen_tool_is_among_one_to_three_that_do_different_things() -> None:
    counts = set()
    for chosen, offered in offers(1_000):
        counts.add(len(offered))
        assert chosen in offered
        assert len({tool.name for tool in offered}) == len(offered)
        assert len({tool.kind.group for tool in offered}) == len(offered)
    assert counts == {1, 2, 3}


def test_excluded_groups_are_not_offered() -> None:
    rng = random.Random(0)
    [kind] = [kind for kind in KINDS if kind.id == "timer"]
    for _ in range(200):
        _, offered = offer_among(rng, kind, excluded=("weather",))
        assert all(tool.kind.group != "weather" for tool in offered)


def test_arguments_fit_the_schema() -> None:
    rng = random.Random(0)
    for kind in KINDS:
        for _ in range(20):
            tool = offer(rng, kind)
            parameters = tool.schema["function"]["parameters"]
            arguments = tool.arguments(kind.draw(rng))
            assert list(arguments) == parameters["required"] == list(parameters["properties"])
            assert len(arguments) == len(kind.slots)
            for name, argument in arguments.items():
                assert fits(parameters["properties"][name], argument), tool


def test_names_are_drawn_so_that_only_the_schema_tells_them() -> None:
    rng = random.Random(0)
    for kind in KINDS:
        assert len({offer(rng, kind).name for _ in range(60)}) >= 3, kind.id


def test_every_question_can_be_asked_of_what_is_drawn() -> None:
    rng = random.Random(0)
    for kind in KINDS:
        filled = kind.draw(rng)
        for wording in kind.questions:
            asked = wording.format(**filled)
            assert "{" not in asked and asked == asked.strip()


def test_a_question_keeps_its_case() -> None:
    rng = random.Random(0)
    asked = {vary_mark(rng, "Is it cold in Oslo?") for _ in range(50)}
    assert asked == {"Is it cold in Oslo?", "Is it cold in Oslo"}
