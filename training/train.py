"""Trains the model: `python -m training.train [--draft] [--resume] [--smoke]`.

Reads `training/data/train.jsonl`, works in `training/run/` (tokenizer, checkpoint, loss log), and
exports the finished model directory to `training/run/model/`. With `--draft` it trains the small
model that guesses for the main one, with the same tokenizer, in `training/run/draft/`. `--smoke`
does all of it on a small scale in less than three minutes, in a directory of its own.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer

from training.batches import Sample, read_lines, tokenize
from training.chat_format import CHAT_TEMPLATE, Document, document_pieces
from training.loss_curve import write_loss_curve
from training.make_corpus import DATA_DIR, make_corpus
from training.model import CONTEXT_LENGTH, ModelShape, export_model, load_model
from training.tokenizer import VOCAB_SIZE, save_tokenizer, train_tokenizer
from training.trainer import Recipe, Trainer

TRAINING_DIR = Path(__file__).parent
RUN_DIR = TRAINING_DIR / "run"
DRAFT_DIR = RUN_DIR / "draft"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
TOKENIZER_DOCUMENTS = 40_000
"""So many documents are enough to learn the merges."""

DRAFT = Recipe(
    max_minutes=12.0,
    shape=ModelShape(
        hidden_size=96, intermediate_size=256, num_layers=3, num_heads=2, num_kv_heads=1
    ),
)
"""Less than 1.5 MB in bf16."""
SMOKE = Recipe(
    num_steps=60,
    max_minutes=1.5,
    warmup_steps=10,
    steps_per_report=5,
    steps_per_checkpoint=30,
    shape=ModelShape(
        hidden_size=64, intermediate_size=128, num_layers=2, num_heads=2, num_kv_heads=1
    ),
)
SMOKE_DOCUMENTS = 3_000


def tokenizer_text(document: Document) -> str:
    """The document as the tokenizer's trainer reads it; words that are spelled make no tokens."""
    return "".join(piece.text for piece in document_pieces(document) if not piece.spelled)


def prepare(data_dir: Path, run_dir: Path) -> list[Sample]:
    """Trains and saves the tokenizer, if there is none yet, and tokenizes the corpus."""
    documents = read_lines(data_dir / "train.jsonl")
    path = run_dir / "tokenizer.json"
    if not path.exists():
        texts = (tokenizer_text(document) for document in documents[:TOKENIZER_DOCUMENTS])
        tokenizer = train_tokenizer(texts)
        save_tokenizer(
            tokenizer, run_dir, context_length=CONTEXT_LENGTH, chat_template=CHAT_TEMPLATE
        )
    tokenizer = Tokenizer.from_file(str(path))
    if tokenizer.get_vocab_size() > VOCAB_SIZE:
        raise ValueError(f"{tokenizer.get_vocab_size()} tokens, the model has {VOCAB_SIZE} rows")
    return tokenize(tokenizer, documents)


def export(trainer: Trainer, out_dir: Path) -> None:
    """The model directory: tokenizer, configs, weights."""
    num_bytes = export_model(trainer.model, trainer.recipe.shape, out_dir)
    copy_tokenizer(trainer.run_dir, out_dir)
    num_parameters = sum(p.numel() for p in trainer.model.parameters())
    print(f"{out_dir}: {num_parameters:,} parameters, weights {num_bytes / 1e6:.2f} MB")


def run(
    recipe: Recipe,
    *,
    data_dir: Path,
    run_dir: Path,
    out_dir: Path,
    resume: bool,
    start_from: Path | None = None,
) -> Trainer:
    """Trains by `recipe` and exports to `out_dir`; returns the finished run.

    `start_from` is an exported model whose weights and tokenizer the run begins with.
    """
    torch.set_num_threads(recipe.num_threads)
    run_dir.mkdir(parents=True, exist_ok=True)
    if start_from is not None:
        copy_tokenizer(start_from, run_dir)
    trainer = Trainer(recipe, prepare(data_dir, run_dir), run_dir)
    if resume:
        trainer.resume()
    elif start_from is not None:
        weights = load_model(start_from, recipe.shape).state_dict()
        trainer.model.load_state_dict(weights)
    trainer.train()
    write_loss_curve(trainer.losses, run_dir / "loss.svg")
    export(trainer, out_dir)
    return trainer


def smoke(directory: Path) -> Trainer:
    """The whole pipeline, small, below `directory`. RuntimeError if the loss did not fall."""
    make_corpus(directory / "data", num_documents=SMOKE_DOCUMENTS)
    trainer = run(
        SMOKE,
        data_dir=directory / "data",
        run_dir=directory,
        out_dir=directory / "model",
        resume=False,
    )
    first, last = trainer.losses[0][1], trainer.losses[-1][1]
    if not last < 0.8 * first:
        raise RuntimeError(f"the loss did not fall: {first:.3f} at first, {last:.3f} at last")
    return trainer


def copy_tokenizer(source: Path, target: Path) -> None:
    """Gives the run in `target` the tokenizer of another."""
    target.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        shutil.copyfile(source / name, target / name)


def train_draft(recipe: Recipe, *, resume: bool) -> None:
    """The draft model, which shares the main run's tokenizer."""
    copy_tokenizer(RUN_DIR, DRAFT_DIR)
    run(recipe, data_dir=DATA_DIR, run_dir=DRAFT_DIR, out_dir=DRAFT_DIR / "model", resume=resume)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.train")
    parser.add_argument("--smoke", action="store_true", help="small run of the whole pipeline")
    parser.add_argument("--draft", action="store_true", help="the draft model, after the main one")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument(
        "--start-from", type=Path, metavar="DIR", help="begin with this model's weights"
    )
    parser.add_argument("--steps", type=int, help="end of the schedule")
    parser.add_argument("--max-minutes", type=float, help="end of the schedule, if earlier")
    parser.add_argument("--learning-rate", type=float, help="its peak; less for --start-from")
    parser.add_argument("--threads", type=int, default=Recipe().num_threads)
    arguments = parser.parse_args()
    if arguments.smoke:
        smoke(RUN_DIR / "smoke")
        return
    recipe = DRAFT if arguments.draft else Recipe()
    recipe = replace(
        recipe,
        num_steps=arguments.steps or recipe.num_steps,
        max_minutes=arguments.max_minutes or recipe.max_minutes,
        peak_learning_rate=arguments.learning_rate or recipe.peak_learning_rate,
        num_threads=arguments.threads,
    )
    if arguments.draft:
        train_draft(recipe, resume=arguments.resume)
        return
    trainer = run(
        recipe,
        data_dir=DATA_DIR,
        run_dir=RUN_DIR,
        out_dir=RUN_DIR / "model",
        resume=arguments.resume,
        start_from=arguments.start_from,
    )
    write_loss_curve(trainer.losses, TRAINING_DIR / "loss.svg")


if __name__ == "__main__":
    main()
