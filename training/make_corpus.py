"""Writes the corpus: `python -m training.make_corpus [--documents N] [--seed S]`.

Three files in `training/data/`: `train.jsonl` (documents: conversations, and texts to go on with),
`eval.jsonl` (prompts with their right answers, never trained on) and `guide.json` (the guide's
paragraphs by id). The same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from training.chat_format import Document, answer_text, prompt_text
from training.examples import Example, Skill, is_held_out, system, user
from training.skills import SKILLS
from training.skills.guide import TOPICS
from training.skills.guide_answers import read_questions

DATA_DIR = Path(__file__).parent / "data"
NUM_DOCUMENTS = 300_000
NUM_HELD_OUT = 200
"""Held-out instances per skill and kind, as far as there are so many."""
SYSTEM_PROMPTS = [
    "You are a helpful assistant.",
    "You are a helpful and honest assistant.",
    "You are a friendly assistant. Answer briefly.",
    "Answer in one sentence.",
    "You are the small model that comes with sglite.",
    "Be concise.",
]
SYSTEM_SHARE = 0.15
TURN_WEIGHTS = {1: 70, 2: 14, 3: 7, 4: 4, 6: 2.5, 10: 1.5, 24: 1.0}
"""How many conversations have so many turns: most are short, a few fill the context."""


def draw_training_example(rng: random.Random, skill: Skill) -> Example:
    """An example that is not held out."""
    while True:
        example = skill.draw(rng)
        if not is_held_out(example.key):
            return example


def document_of(example: Example) -> Document:
    """A document with this one answer."""
    if example.text:
        text: Document = {"text": example.text, "completion": example.answer}
        return text | {"spelled": list(example.spelled)} if example.spelled else text
    answer: dict[str, Any] = {"role": "assistant", "content": example.answer}
    if example.spelled:
        answer["spelled"] = list(example.spelled)
    document: Document = {"messages": [*example.messages, answer]}
    if example.tools:
        document["tools"] = list(example.tools)
    if example.thought is not None:
        document["thought"] = example.thought
    return document


def documents(seed: int, num_documents: int) -> Iterator[Document]:
    """The training documents. Examples that can be are strung into conversations."""
    rng = random.Random(f"{seed}:train")
    skills = list(SKILLS.values())
    weights = [skill.weight for skill in skills]
    for _ in range(num_documents):
        num_turns = rng.choices(list(TURN_WEIGHTS), list(TURN_WEIGHTS.values()))[0]
        chosen = rng.choices(skills, weights, k=num_turns)
        first = document_of(drawn := draw_training_example(rng, chosen[0]))
        if not drawn.can_be_chained:
            yield first
            continue
        examples = [draw_training_example(rng, skill) for skill in chosen[1:]]
        turns = [document_of(each) for each in examples if each.can_be_chained]
        start = [system(rng.choice(SYSTEM_PROMPTS))] if rng.random() < SYSTEM_SHARE else []
        messages = [message for each in (first, *turns) for message in each["messages"]]
        yield {"messages": start + messages}


def held_out_instances(seed: int, skill: Skill) -> Iterator[dict[str, str]]:
    """Held-out prompts of one exact skill, `NUM_HELD_OUT` of each kind, no two of one instance."""
    rng = random.Random(f"{seed}:held_out:{skill.name}")
    seen: dict[str, set[str]] = {}
    for _ in range(200 * NUM_HELD_OUT):
        example = skill.draw(rng)
        keys = seen.setdefault(example.kind, set())
        if not is_held_out(example.key) or example.key in keys or len(keys) == NUM_HELD_OUT:
            continue
        keys.add(example.key)
        document = document_of(example)
        yield {
            "kind": example.kind or skill.name,
            "prompt": prompt_text(document),
            "answer": answer_text(document),
        }


def guide_instances() -> Iterator[dict[str, str]]:
    """The questions that measure the guide; their answer is a paragraph's id."""
    for each in read_questions():
        prompt = prompt_text({"messages": [user(each["question"]), {"role": "assistant"}]})
        yield {"kind": "guide", "prompt": prompt, "answer": each["topic"]}


def instances(seed: int) -> Iterator[dict[str, str]]:
    """Everything that measures the model."""
    yield from guide_instances()
    for skill in SKILLS.values():
        if skill.is_exact:
            yield from held_out_instances(seed, skill)


def write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> int:
    """Writes one JSON object per line; returns how many."""
    num_lines = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            num_lines += 1
    return num_lines


def make_corpus(directory: Path, *, seed: int = 0, num_documents: int = NUM_DOCUMENTS) -> None:
    """Writes the three files into `directory`, which is made if it is missing."""
    directory.mkdir(parents=True, exist_ok=True)
    num_instances = write_lines(directory / "eval.jsonl", instances(seed))
    paragraphs = {topic.id: {"en": topic.text, "zh": topic.text_zh} for topic in TOPICS.values()}
    text = json.dumps(paragraphs, ensure_ascii=False, indent=1) + "\n"
    (directory / "guide.json").write_text(text, encoding="utf-8")
    num_train = write_lines(directory / "train.jsonl", documents(seed, num_documents))
    print(f"{directory}: {num_train:,} documents, {num_instances:,} held-out instances")


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
