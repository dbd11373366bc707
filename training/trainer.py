"""The training loop: recipe, schedule, loss, and a run that can be interrupted and resumed."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.nn import functional

from training.batches import Batch, Sample, batches
from training.checkpoint import load_checkpoint, save_checkpoint
from training.model import ModelShape, Qwen3, build_model
from training.optimizer import make_optimizers


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides how a run goes."""

    num_steps: int = 12_000
    max_minutes: float = 95.0
    """The schedule ends here even if the steps are not done: a busy machine trains less."""
    tokens_per_batch: int = 2_048
    peak_learning_rate: float = 4e-3
    optimizer: str = "muon"
    warmup_steps: int = 100
    decay_share: float = 0.6
    """The learning rate stays at its peak until this share of the run is left, then falls to 0."""
    weight_decay: float = 0.05
    seed: int = 0
    num_threads: int = 2
    """One is faster than two on a machine that others keep busy: threads wait for each other."""
    steps_per_report: int = 50
    steps_per_checkpoint: int = 250
    shape: ModelShape = field(default_factory=ModelShape)


def learning_rate(recipe: Recipe, step: int, progress: float) -> float:
    """Linear warm-up over steps, a plateau, and a linear fall over `progress` from 0 to 1."""
    warmup = min(1.0, (step + 1) / recipe.warmup_steps)
    left = max(0.0, 1.0 - progress) / recipe.decay_share
    return recipe.peak_learning_rate * warmup * max(0.01, min(1.0, left))


def batch_loss(model: Qwen3, batch: Batch) -> torch.Tensor:
    """Mean cross entropy over the answers' tokens; the head runs only where there is a loss."""
    hidden = model.model(batch.token_ids, batch.position_ids, batch.mask)
    is_learnt = batch.labels >= 0
    return functional.cross_entropy(model.logits(hidden[is_learnt]), batch.labels[is_learnt])


class Trainer:
    """One run: model, optimizers, data, and where it stands."""

    def __init__(self, recipe: Recipe, samples: list[Sample], run_dir: Path) -> None:
        """A run at step 0 that keeps its files in `run_dir`."""
        self.recipe = recipe
        self.samples = samples
        self.run_dir = run_dir
        self.model = build_model(recipe.shape, seed=recipe.seed)
        self.optimizers = make_optimizers(
            self.model,
            name=recipe.optimizer,
            learning_rate=recipe.peak_learning_rate,
            weight_decay=recipe.weight_decay,
        )
        self.step = 0
        self.num_tokens = 0
        self.losses: list[tuple[int, float]] = []
        self.elapsed_s = 0.0

    def resume(self) -> None:
        """Goes on from the run's last checkpoint."""
        self.step = load_checkpoint(
            self.run_dir / "checkpoint.safetensors", self.model, self.optimizers
        )
        log = json.loads((self.run_dir / "losses.json").read_text(encoding="utf-8"))
        self.losses = [(step, loss) for step, loss in log["losses"]]
        self.elapsed_s = log["elapsed_s"]
        self.num_tokens = log["num_tokens"]

    def save(self) -> None:
        """Writes checkpoint and loss log."""
        path = self.run_dir / "checkpoint.safetensors"
        save_checkpoint(path, self.model, self.optimizers, step=self.step)
        log = {
            "elapsed_s": self.elapsed_s,
            "num_tokens": self.num_tokens,
            "losses": self.losses,
        }
        (self.run_dir / "losses.json").write_text(json.dumps(log), encoding="utf-8")

    def train(self, last_step: int | None = None) -> None:
        """Takes steps until the recipe's number of steps or its time is used up.

        With `last_step` the run stops there, in the middle of its schedule.
        """
        recipe = self.recipe
        stream = batches(
            self.samples,
            tokens_per_batch=recipe.tokens_per_batch,
            seed=recipe.seed,
            first_step=self.step,
        )
        self.model.train()
        started = time.monotonic() - self.elapsed_s
        losses: list[float] = []
        while self.step != last_step and (progress := self._progress()) < 1.0:
            losses.append(self._take_step(next(stream), progress))
            self.elapsed_s = time.monotonic() - started
            if self.step % recipe.steps_per_report == 0:
                self._report(sum(losses) / len(losses))
                losses = []
            if self.step % recipe.steps_per_checkpoint == 0:
                self.save()
        self.save()

    def _progress(self) -> float:
        by_time = self.elapsed_s / (60 * self.recipe.max_minutes)
        return max(self.step / self.recipe.num_steps, by_time)

    def _take_step(self, batch: Batch, progress: float) -> float:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(self.recipe, self.step, progress)
            optimizer.zero_grad(set_to_none=True)
        loss = batch_loss(self.model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        self.num_tokens += batch.token_ids.numel()
        return loss.item()

    def _report(self, loss: float) -> None:
        self.losses.append((self.step, loss))
        print(
            f"step {self.step:5d}/{self.recipe.num_steps}  loss {loss:.4f}  "
            f"{self.num_tokens / self.elapsed_s:,.0f} tokens/s  {self.elapsed_s / 60:.1f} min",
            flush=True,
        )
