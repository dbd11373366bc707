"""lm-eval scores a task over HTTP as it scores it with transformers in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sglite.embedded import EMBEDDED_MODEL_DIR
from tests.server.live import live_server
from tools.clients.lm_eval_task import TASK, items, write_task

NUM_ITEMS = 100
TIMEOUT_S = 1200.0


class Verdict(NamedTuple):
    """The share of right answers, and of each answer its log-likelihood and if it is greedy."""

    accuracy: float
    logprobs: list[list[float]]
    is_greedy: list[list[bool]]


def evaluate(directory: Path, model: str, /, **arguments: Any) -> Verdict:
    """Run lm-eval's command with one of its models, without a network."""
    output = directory / model
    command = [sys.executable, "-m", "lm_eval", "--model", model]
    command += ["--model_args", ",".join(f"{name}={value}" for name, value in arguments.items())]
    command += ["--tasks", TASK, "--include_path", str(directory), "--batch_size", "8"]
    command += ["--output_path", str(output), "--log_samples"]
    environment = {
        **os.environ,
        "HF_HOME": str(directory / "cache"),
        "HF_DATASETS_OFFLINE": "1",
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return read_verdict(output)


def read_verdict(output: Path) -> Verdict:
    """What lm-eval wrote."""
    [results] = output.rglob("results_*.json")
    [samples] = output.rglob(f"samples_{TASK}_*.jsonl")
    answers = sorted(
        map(json.loads, samples.read_text().splitlines()), key=lambda sample: sample["doc_id"]
    )
    pairs = [[answer[0] for answer in sample["resps"]] for sample in answers]
    return Verdict(
        json.loads(results.read_text())["results"][TASK]["acc,none"],
        [[float(logprob) for logprob, _ in item] for item in pairs],
        [[str(is_greedy) == "True" for _, is_greedy in item] for item in pairs],
    )


def test_the_task_has_its_items_and_each_a_right_answer():
    questions = items()
    assert len(questions) == NUM_ITEMS
    assert len({item["question"] for item in questions}) == NUM_ITEMS
    for item in questions:
        assert len(set(item["choices"])) == 4
        if "+" in item["question"]:
            first, _, second, _ = item["question"].split()
            assert item["choices"][item["answer"]] == str(int(first) + int(second))
    assert items() == questions


@pytest.mark.slow
@pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm-eval is not installed")
def test_scores_over_http_are_those_of_transformers(tmp_path):
    write_task(tmp_path)
    with live_server("--dtype", "float32", directory=tmp_path) as server:
        served = evaluate(
            tmp_path,
            "local-completions",
            model="embedded",
            base_url=f"{server.url}/v1/completions",
            tokenizer_backend="huggingface",
            tokenizer=EMBEDDED_MODEL_DIR,
            num_concurrent=4,
        )
    own = evaluate(tmp_path, "hf", pretrained=EMBEDDED_MODEL_DIR, dtype="float32")
    assert len(own.logprobs) == NUM_ITEMS
    assert served.accuracy == own.accuracy
    assert served.is_greedy == own.is_greedy
    for ours, theirs in zip(served.logprobs, own.logprobs, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-3)
