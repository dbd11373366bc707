"""The stages in one: tokenizer, run, export, and what loads the result."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sglite import LLM, SamplingParams
from tests.training.drawing import documents_of_every_skill
from tests.training.tiny import RECIPE
from training import train
from training.chat_format import prompt_text
from training.examples import assistant, user
from training.make_corpus import write_lines
from training.skills.strings import OPERATIONS
from training.tokenizer import VOCAB_SIZE, save_tokenizer, train_tokenizer
from training.train import prepare, smoke, tokenizer_text, train_draft
from training.trainer import Recipe

FILES = {
    *("config.json", "generation_config.json", "model.safetensors"),
    *("tokenizer.json", "tokenizer_config.json"),
}
SMALL = replace(RECIPE, num_steps=2, shape=replace(RECIPE.shape, vocab_size=VOCAB_SIZE))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of a thousand documents."""
    directory = tmp_path_factory.mktemp("data")
    write_lines(directory / "train.jsonl", documents_of_every_skill(40))
    return directory


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Path:
    """The directory of a run that is done; its export is in `model`."""
    directory = tmp_path_factory.mktemp("run")
    train.run(
        SMALL, data_dir=data_dir, run_dir=directory, out_dir=directory / "model", resume=False
    )
    return directory


def test_a_run_exports_a_whole_model_directory(run_dir: Path) -> None:
    assert {path.name for path in (run_dir / "model").iterdir()} == FILES
    assert (run_dir / "loss.svg").read_text(encoding="utf-8").startswith("<svg")


def test_transformers_reads_the_export(run_dir: Path) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(str(run_dir / "model"))
    messages = [user("Who are you?"), assistant("A model."), user("And 1 + 1?")]
    prompt = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert prompt == prompt_text({"messages": [*messages, assistant("2")]})


def test_the_engine_runs_the_export(run_dir: Path) -> None:
    params = SamplingParams(max_new_tokens=3, ignore_eos=True)
    with LLM(str(run_dir / "model"), max_total_tokens=2048) as llm:
        answer = llm.chat([user("Who are you?")], params)
    assert not isinstance(answer, list)
    assert len(answer.token_ids) == 3


def test_a_resumed_run_goes_on_with_the_tokenizer_that_it_has(
    run_dir: Path, data_dir: Path, tmp_path: Path
) -> None:
    for name in ("checkpoint.safetensors", "losses.json"):
        (tmp_path / name).write_bytes((run_dir / name).read_bytes())
    save_tokenizer(
        train_tokenizer(["another corpus"]), tmp_path, context_length=8, chat_template=""
    )
    expected = (tmp_path / "tokenizer.json").read_bytes()
    recipe = replace(SMALL, num_steps=3)
    trainer = train.run(
        recipe, data_dir=data_dir, run_dir=tmp_path, out_dir=tmp_path / "model", resume=True
    )
    assert [step for step, _ in trainer.losses] == [1, 2, 3]
    assert (tmp_path / "model" / "tokenizer.json").read_bytes() == expected


def test_a_run_can_start_from_an_exported_model(
    run_dir: Path, data_dir: Path, tmp_path: Path
) -> None:
    source = run_dir / "model"
    still = replace(SMALL, seed=9, peak_learning_rate=0.0)
    options: dict[str, Any] = {"data_dir": data_dir, "run_dir": tmp_path, "resume": False}
    train.run(still, out_dir=tmp_path / "model", start_from=source, **options)
    for name in ("model.safetensors", "tokenizer.json"):
        assert (tmp_path / "model" / name).read_bytes() == (source / name).read_bytes()


def test_a_tokenizer_that_is_too_large_is_refused(
    run_dir: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "VOCAB_SIZE", 100)
    with pytest.raises(ValueError, match="tokens, the model has 100 rows"):
        prepare(data_dir, run_dir)


def test_the_draft_model_has_the_main_ones_tokenizer(
    run_dir: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "RUN_DIR", run_dir)
    monkeypatch.setattr(train, "DATA_DIR", data_dir)
    monkeypatch.setattr(train, "DRAFT_DIR", tmp_path / "draft")
    train_draft(SMALL, resume=False)
    assert {path.name for path in (tmp_path / "draft" / "model").iterdir()} == FILES
    for name in ("tokenizer.json", "tokenizer_config.json"):
        expected = (run_dir / name).read_bytes()
        assert (tmp_path / "draft" / "model" / name).read_bytes() == expected


@pytest.mark.parametrize(
    ("flags", "steps", "minutes"),
    [([], None, None), (["--steps", "7"], 7, None), (["--max-minutes", "2.5"], None, 2.5)],
)
@pytest.mark.parametrize("is_draft", [False, True])
def test_the_command_line_changes_the_recipe(
    flags: list[str],
    steps: int | None,
    minutes: float | None,
    is_draft: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, Any] = {}

    class Stopped(Exception):
        """Instead of a run."""

    def stop(recipe: Any, **options: Any) -> None:
        seen.update(options, recipe=recipe)
        raise Stopped

    monkeypatch.setattr(train, "train_draft" if is_draft else "run", stop)
    chosen = ["--draft"] if is_draft else []
    monkeypatch.setattr("sys.argv", ["train", "--resume", "--threads", "1", *chosen, *flags])
    with pytest.raises(Stopped):
        train.main()
    default = train.DRAFT if is_draft else Recipe()
    assert seen["resume"] is True
    assert seen["recipe"] == replace(
        default,
        num_threads=1,
        num_steps=steps or default.num_steps,
        max_minutes=minutes or default.max_minutes,
    )


def test_spelled_words_make_no_tokens() -> None:
    answer, spelled = OPERATIONS[0].answer("planet", "")
    message = assistant(answer) | {"spelled": list(spelled)}
    text = tokenizer_text({"messages": [user("Reverse planet."), message]})
    assert "Reverse planet." in text
    assert "tenalp" not in text
    plain = next(one for one in documents_of_every_skill(1) if "messages" in one)
    assert plain["messages"][-1]["content"] in tokenizer_text(plain)


@pytest.mark.slow
def test_the_smoke_pipeline_learns_and_exports(tmp_path: Path) -> None:
    trainer = smoke(tmp_path)
    assert trainer.losses[-1][1] < 0.8 * trainer.losses[0][1]
    assert {path.name for path in (tmp_path / "model").iterdir()} == FILES
    lines = (tmp_path / "data" / "eval.jsonl").read_text(encoding="utf-8").splitlines()
    assert {"kind", "prompt", "answer"} == set(json.loads(lines[0]))
