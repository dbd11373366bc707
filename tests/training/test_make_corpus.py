"""The corpus: reproducible, honest about what is held out, and right."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from training.batches import read_lines
from training.examples import is_held_out
from training.make_corpus import make_corpus
from training.skills import SKILLS
from training.skills.countries import CAPITALS


def written(directory: Path, *, seed: int) -> dict[str, bytes]:
    """The bytes of a small corpus, by file name."""
    make_corpus(directory, seed=seed, num_documents=400)
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first = written(tmp_path / "first", seed=3)
    assert first == written(tmp_path / "second", seed=3)
    assert set(first) == {"train.jsonl", "held_out.jsonl"}
    assert first != written(tmp_path / "third", seed=4)


def test_no_held_out_prompt_is_trained_on(tmp_path: Path) -> None:
    make_corpus(tmp_path, num_documents=3_000)
    trained = set()
    for document in read_lines(tmp_path / "train.jsonl"):
        turns = document.get("turns") or [[document["prompt"], document["completion"]]]
        trained |= {prompt for prompt, _ in turns}
    held_out = {instance["prompt"] for instance in read_lines(tmp_path / "held_out.jsonl")}
    assert len(trained) > 1_000
    assert len(held_out) > 500
    assert not trained & held_out


def test_every_skill_has_held_out_instances(tmp_path: Path) -> None:
    make_corpus(tmp_path, num_documents=1)
    measured = {instance["skill"] for instance in read_lines(tmp_path / "held_out.jsonl")}
    assert measured == set(SKILLS)


def test_a_sum_is_held_out_in_both_orders_and_in_text_too() -> None:
    rng = random.Random(0)
    sides: dict[tuple[int, int], set[bool]] = {}
    for _ in range(20_000):
        for name in ("sums", "text_completion"):
            example = SKILLS[name].draw(rng)
            numbers = [int(number) for number in re.findall(r"\d+", example.prompt)]
            if example.key and len(numbers) == 2:
                pair = (min(numbers), max(numbers))
                sides.setdefault(pair, set()).add(is_held_out(example.key))
    assert len(sides) > 3_000
    assert all(len(side) == 1 for side in sides.values())


def test_every_sum_is_right() -> None:
    rng = random.Random(0)
    for _ in range(2_000):
        example = SKILLS["sums"].draw(rng)
        a, b, total = (int(number) for number in re.findall(r"\d+", example.answer))
        assert a + b == total
        assert re.findall(r"\d+", example.prompt) == [str(a), str(b)]


def test_every_capital_is_named_by_its_answer() -> None:
    rng = random.Random(0)
    for _ in range(2_000):
        example = SKILLS["capitals"].draw(rng)
        assert any(
            country in example.answer and city.removesuffix(".") in example.answer
            for country, city in CAPITALS.items()
        ), example


@pytest.mark.parametrize("question", ["What is the capital of France?", "Who are you?"])
def test_the_plain_wording_of_a_question_is_trained_on(tmp_path: Path, question: str) -> None:
    make_corpus(tmp_path, num_documents=8_000)
    assert json.dumps(question) in (tmp_path / "train.jsonl").read_text(encoding="utf-8")
