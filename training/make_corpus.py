"""Writes the corpus: `python -m training.make_corpus [--documents N] [--seed S]`.

Two files of JSON lines in `training/data/`: `train.jsonl` (documents: conversations of one to four
turns, and texts) and `held_out.jsonl` (single prompts with their right answers, never trained on).
The same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.examples import Example, Skill, is_held_out
from training.skills import SKILLS

DATA_DIR = Path(__file__).parent / "data"
NUM_DOCUMENTS = 160_000
NUM_HELD_OUT = 200
"""Most held-out instances per skill."""
SYSTEM_PROMPTS = [
    "You are a helpful assistant.",
    "You are a helpful and honest assistant.",
    "You are a friendly assistant. Answer briefly.",
    "Answer in one sentence.",
    "You are the small model that comes with sglite.",
    "Be concise.",
]
SYSTEM_SHARE = 0.15
TURN_WEIGHTS = {1: 60, 2: 20, 3: 12, 4: 8}

Document = dict[str, Any]


def draw_training_example(rng: random.Random, skill: Skill) -> Example:
    """An example that is not held out."""
    while True:
        example = skill.draw(rng)
        if not is_held_out(example.key):
            return example


def documents(seed: int, num_documents: int) -> Iterator[Document]:
    """The training documents. Texts stand alone; chat examples are strung into conversations."""
    rng = random.Random(f"{seed}:train")
    skills = list(SKILLS.values())
    weights = [skill.weight for skill in skills]
    for _ in range(num_documents):
        num_turns = rng.choices(list(TURN_WEIGHTS), list(TURN_WEIGHTS.values()))[0]
        drawn = [
            draw_training_example(rng, skill) for skill in rng.choices(skills, weights, k=num_turns)
        ]
        if not drawn[0].is_chat:
            yield {"prompt": drawn[0].prompt, "completion": drawn[0].answer}
            continue
        turns = [[example.prompt, example.answer] for example in drawn if example.is_chat]
        system = rng.choice(SYSTEM_PROMPTS) if rng.random() < SYSTEM_SHARE else ""
        yield {"system": system, "turns": turns}


def held_out_instances(seed: int, skill: Skill) -> Iterator[Document]:
    """Up to `NUM_HELD_OUT` distinct held-out prompts of one skill; small skills have fewer."""
    rng = random.Random(f"{seed}:held_out:{skill.name}")
    seen: set[str] = set()
    for _ in range(200 * NUM_HELD_OUT):
        example = skill.draw(rng)
        if not is_held_out(example.key) or example.prompt in seen:
            continue
        seen.add(example.prompt)
        yield {
            "skill": skill.name,
            "is_chat": example.is_chat,
            "prompt": example.prompt,
            "answer": example.answer,
        }
        if len(seen) == NUM_HELD_OUT:
            return


def write_lines(path: Path, lines: Iterator[Document]) -> int:
    """Writes one JSON object per line; returns how many."""
    num_lines = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            num_lines += 1
    return num_lines


def make_corpus(directory: Path, *, seed: int = 0, num_documents: int = NUM_DOCUMENTS) -> None:
    """Writes both files into `directory`, which is made if it is missing."""
    directory.mkdir(parents=True, exist_ok=True)
    num_train = write_lines(directory / "train.jsonl", documents(seed, num_documents))
    held_out = (line for skill in SKILLS.values() for line in held_out_instances(seed, skill))
    num_held_out = write_lines(directory / "held_out.jsonl", held_out)
    print(f"{directory}: {num_train:,} documents, {num_held_out:,} held-out instances")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.make_corpus")
    parser.add_argument("--documents", type=int, default=NUM_DOCUMENTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=DATA_DIR)
    arguments = parser.parse_args()
    make_corpus(arguments.out, seed=arguments.seed, num_documents=arguments.documents)


if __name__ == "__main__":
    main()
