"""Writes a multiple-choice task for lm-eval: 100 questions, as a YAML file and a JSONL file.

    python tools/clients/lm_eval_task.py DIRECTORY

Half are sums, half are capitals, each with four answers, and all are the same in every run. What is
measured with them is not the model: lm-eval's own model and a server have to agree on every answer.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

TASK = "sglite_choices"
"""The task's name for ``--tasks``; ``--include_path`` is the directory."""

NUM_SUMS = 50
NUM_CHOICES = 4
WORDINGS = ("The capital of {} is", "What is the capital of {}? It is")
CAPITALS = {
    "Argentina": "Buenos Aires",
    "Austria": "Vienna",
    "Brazil": "Brasilia",
    "Canada": "Ottawa",
    "Chile": "Santiago",
    "China": "Beijing",
    "Cuba": "Havana",
    "Egypt": "Cairo",
    "Finland": "Helsinki",
    "France": "Paris",
    "Germany": "Berlin",
    "Greece": "Athens",
    "Hungary": "Budapest",
    "India": "New Delhi",
    "Iran": "Tehran",
    "Italy": "Rome",
    "Japan": "Tokyo",
    "Kenya": "Nairobi",
    "Norway": "Oslo",
    "Peru": "Lima",
    "Poland": "Warsaw",
    "Portugal": "Lisbon",
    "Spain": "Madrid",
    "Sweden": "Stockholm",
    "Turkey": "Ankara",
}

YAML = """\
task: {task}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
target_delimiter: " "
num_fewshot: 0
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""


def items() -> list[dict[str, Any]]:
    """The questions; ``answer`` is the right one's index among the ``choices``."""
    draw = random.Random(0)
    return [_sum(draw) for _ in range(NUM_SUMS)] + [
        _item(draw, wording.format(country), city, list(CAPITALS.values()))
        for wording in WORDINGS
        for country, city in CAPITALS.items()
    ]


def write_task(directory: Path) -> None:
    """Write ``sglite_choices.yaml`` and the questions beside it."""
    data = directory.resolve() / f"{TASK}.jsonl"
    data.write_text("".join(json.dumps(item) + "\n" for item in items()))
    yaml = YAML.format(task=TASK, data=json.dumps(str(data)))
    (directory / f"{TASK}.yaml").write_text(yaml)


def _sum(draw: random.Random) -> dict[str, Any]:
    first, second = draw.randint(10, 99), draw.randint(10, 99)
    near = [str(first + second + off) for off in (-20, -10, -2, -1, 1, 2, 10, 20)]
    return _item(draw, f"{first} + {second} =", str(first + second), near)


def _item(draw: random.Random, question: str, right: str, others: list[str]) -> dict[str, Any]:
    wrong = draw.sample([other for other in others if other != right], NUM_CHOICES - 1)
    choices = draw.sample([right, *wrong], NUM_CHOICES)
    return {"question": question, "choices": choices, "answer": choices.index(right)}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/clients/lm_eval_task.py DIRECTORY")
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    write_task(Path(sys.argv[1]))
