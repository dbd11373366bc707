"""Measure how many questions of a file a model answers as expected, through the engine.

`sglite eval embedded` asks the embedded model what it was trained for; `sglite eval FILE.jsonl`
asks questions of your own. Ends with 0 where every kind reaches 90 %.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from sglite.cli.engine import open_llm, read_config
from sglite.cli.output import say_on_terminal
from sglite.cli.parser import parse_integer
from sglite.config import EngineConfig
from sglite.config_flags import add_option_arguments
from sglite.embedded import EMBEDDED_MODEL_DIR
from sglite.errors import ConfigError
from sglite.evaluation.agreement import Agreement, measure_agreement
from sglite.evaluation.answering import Answers, answer_all
from sglite.evaluation.instances import read_questions
from sglite.evaluation.perplexity import measure_perplexity
from sglite.evaluation.report import Report

EMBEDDED = "embedded"
EMBEDDED_FILE = EMBEDDED_MODEL_DIR / "eval.jsonl"
DRAFT_FOLDER = "draft"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``sglite eval`` and the options of the engine."""
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="JSON lines of kind, prompt and answer; the word embedded for those that ship",
    )
    parser.add_argument(
        "--kind", action="append", default=[], metavar="NAME", help="only this kind (repeatable)"
    )
    parser.add_argument("--limit", metavar="INT", help="at most so many instances of each kind")
    parser.add_argument(
        "--show", default="0", metavar="INT", help="wrong answers to print of each kind (default 0)"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the figures here")
    parser.add_argument(
        "--draft",
        action="store_true",
        help="also measure how often the draft model in the model's folder draft/ agrees",
    )
    parser.add_argument(
        "--perplexity",
        action="store_true",
        help="also measure the perplexity of the right answers, of all kinds but guide",
    )
    add_option_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print wrong answers, a table and what fell short; 1 where something did."""
    num_shown = parse_integer(arguments.show, flag="--show", at_least=0)
    limit = None
    if arguments.limit is not None:
        limit = parse_integer(arguments.limit, flag="--limit", at_least=1)
    questions = read_questions(find_file(arguments.file)).chosen(kinds=arguments.kind, limit=limit)
    json_file = check_json_file(arguments.json)
    config = read_config(arguments)
    draft_directory = find_draft(config) if arguments.draft else None
    with open_llm(config) as llm:
        answers = answer_all(llm, questions)
        vocab_size = llm.spec.vocab_size
        perplexity = measure_perplexity(llm, questions) if arguments.perplexity else None
    agreement = None
    if draft_directory is not None:
        agreement = ask_draft(config, draft_directory, answers, vocab_size=vocab_size)
    report = Report(answers, agreement, perplexity)
    for text in report.wrong_answers(num_shown):
        print(text)
    print(report.table())
    shortfalls = report.shortfalls()
    for text in shortfalls:
        print(text)
    if json_file is not None:
        write_figures(json_file, report.figures())
    return 1 if shortfalls else 0


def find_file(name: str | None) -> Path:
    """The file of the questions; ConfigError where none is named."""
    if name is None:
        raise ConfigError("say what to ask: sglite eval embedded, or sglite eval FILE.jsonl")
    return EMBEDDED_FILE if name == EMBEDDED else Path(name)


def check_json_file(name: str | None) -> Path | None:
    """Where the figures go; ConfigError, before anything runs, where that cannot be a file."""
    if name is None:
        return None
    path = Path(name)
    if path.is_dir() or not path.parent.is_dir():
        raise ConfigError(f"--json: {path} cannot be written; name a file in an existing folder")
    return path


def find_draft(config: EngineConfig) -> Path:
    """The draft model of the model; ConfigError where it has none."""
    from sglite.models.hub import resolve_model_directory

    directory = resolve_model_directory(
        config.model_path, source=config.model_source, revision=config.revision
    )
    draft = directory / DRAFT_FOLDER
    if not draft.is_dir():
        raise ConfigError(f"--draft: there is no draft model: {draft} does not exist")
    return draft


def ask_draft(
    config: EngineConfig, directory: Path, answers: Answers, *, vocab_size: int
) -> Agreement:
    """Load the draft model, after the main model was closed, and compare."""
    say_on_terminal("sglite: answers are in; now the draft model reads them")
    own = dataclasses.replace(config, model_path=str(directory), skip_tokenizer_init=True)
    with open_llm(own) as draft:
        return measure_agreement(draft, answers.answers, vocab_size=vocab_size)


def write_figures(path: Path, figures: dict[str, Any]) -> None:
    """Write the figures as JSON; ConfigError where the file system refuses."""
    try:
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--json: {path}: {error.strerror or error}") from error
