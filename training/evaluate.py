"""Accuracy per skill: `python -m training.evaluate [--model DIR]`.

Greedy answers of the exported bf16 model, by transformers, compared with the right answers letter
by letter. Held-out instances were never trained on; *recall* asks every fact of the tables in its
plain wording, which was.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch

from training.batches import read_lines
from training.make_corpus import DATA_DIR
from training.skills.countries import CAPITALS
from training.tokenizer import SPECIAL_TOKENS, TURN_END, TURN_START

EMBEDDED_DIR = Path(__file__).parent.parent / "src" / "sglite" / "embedded"
BATCH_SIZE = 100
MAX_NEW_TOKENS = 64

Instance = dict[str, Any]


def recall_instances() -> Iterator[Instance]:
    """Every capital, asked plainly in a chat and continued as text."""
    for country, city in CAPITALS.items():
        city = city.removesuffix(".")
        yield {
            "skill": "recall: capitals in a chat",
            "is_chat": True,
            "prompt": f"What is the capital of {country}?",
            "answer": f"The capital of {country} is {city}.",
        }
        yield {
            "skill": "recall: capitals as text",
            "is_chat": False,
            "prompt": f"The capital of {country} is",
            "answer": f" {city}.",
        }


def prompt_text(instance: Instance) -> str:
    """The instance as the model reads it."""
    if not instance["is_chat"]:
        return str(instance["prompt"])
    return f"{TURN_START}user\n{instance['prompt']}{TURN_END}\n{TURN_START}assistant\n"


class Completer(Protocol):
    """What `evaluate` needs of a model."""

    def complete(self, prompts: list[str]) -> list[str]:
        """The continuation of each prompt, in their order."""
        ...


class GreedyModel:
    """An exported model directory behind transformers, for batches of prompts."""

    def __init__(self, directory: Path) -> None:
        """Loads the model and its tokenizer from `directory`."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(str(directory), padding_side="left")
        self.model = AutoModelForCausalLM.from_pretrained(str(directory), dtype=torch.bfloat16)

    def complete(self, prompts: list[str]) -> list[str]:
        """The greedy continuation of each prompt up to the end token, without special tokens."""
        inputs = self.tokenizer(prompts, return_tensors="pt", padding=True)
        with torch.inference_mode():
            output = self.model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                max_new_tokens=MAX_NEW_TOKENS,
            )
        new_tokens = output[:, inputs["input_ids"].shape[1] :]
        texts: list[str] = self.tokenizer.batch_decode(new_tokens, skip_special_tokens=False)
        return [before_end(text) for text in texts]


def before_end(text: str) -> str:
    """The text up to its first special token."""
    ends = [text.find(token) for token in SPECIAL_TOKENS if token in text]
    return text[: min(ends)] if ends else text


def evaluate(
    model: Completer, instances: list[Instance], *, num_shown: int = 0
) -> dict[str, tuple[int, int]]:
    """(right, asked) per skill; prints up to `num_shown` wrong answers of each."""
    results: dict[str, list[bool]] = defaultdict(list)
    num_wrong: dict[str, int] = defaultdict(int)
    by_length = sorted(instances, key=lambda instance: len(instance["prompt"]))
    for start in range(0, len(by_length), BATCH_SIZE):
        batch = by_length[start : start + BATCH_SIZE]
        answers = model.complete([prompt_text(instance) for instance in batch])
        for instance, answer in zip(batch, answers, strict=True):
            skill = instance["skill"]
            results[skill].append(answer == instance["answer"])
            num_wrong[skill] += answer != instance["answer"]
            if answer != instance["answer"] and num_wrong[skill] <= num_shown:
                print(f"  wrong: {instance['prompt']!r} -> {answer!r}, not {instance['answer']!r}")
    return {skill: (sum(right), len(right)) for skill, right in results.items()}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate")
    parser.add_argument("--model", type=Path, default=EMBEDDED_DIR)
    parser.add_argument("--data", type=Path, default=DATA_DIR)
    parser.add_argument("--show", type=int, default=3, help="wrong answers shown per skill")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    instances = [*read_lines(arguments.data / "held_out.jsonl"), *recall_instances()]
    results = evaluate(GreedyModel(arguments.model), instances, num_shown=arguments.show)
    for skill, (num_right, num_asked) in sorted(results.items()):
        print(f"{skill:28s} {num_right:4d} / {num_asked:4d}  {100 * num_right / num_asked:6.1f} %")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
