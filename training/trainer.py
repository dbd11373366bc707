"""The training loop: recipe, schedule, loss, and a run that can be interrupted and resumed."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from training.batches import Batch, Sample, batches
from training.checkpoint import load_checkpoint, save_checkpoint
from training.model import ModelShape, build_model

if TYPE_CHECKING:
    from transformers import Qwen3ForCausalLM


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides how a run goes."""

    num_steps: int = 5_000
    max_minutes: float = 26.0
    """The schedule ends here even if the steps are not done: a busy machine trains less."""
    batch_size: int = 8
    row_length: int = 192
    peak_learning_rate: float = 2e-3
    warmup_steps: int = 100
    weight_decay: float = 0.05
    seed: int = 0
    num_threads: int = 2
    """One is faster than two on a machine that others keep busy: threads wait for each other."""
    steps_per_report: int = 50
    steps_per_checkpoint: int = 500
    shape: ModelShape = field(default_factory=ModelShape)


def learning_rate(recipe: Recipe, step: int, progress: float) -> float:
    """Linear warm-up over steps, then a cosine down to 2 % over `progress` from 0 to 1."""
    warmup = min(1.0, (step + 1) / recipe.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return recipe.peak_learning_rate * warmup * (0.02 + 0.98 * cosine)


def make_optimizer(model: torch.nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW with decay on matrices only."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.peak_learning_rate, betas=(0.9, 0.95), fused=True)


def batch_loss(model: Qwen3ForCausalLM, batch: Batch) -> torch.Tensor:
    """Mean cross entropy over the answers' tokens; the head runs only where there is a loss."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(
            input_ids=batch.token_ids,
            position_ids=batch.position_ids,
            attention_mask=batch.mask,
            use_cache=False,
        ).last_hidden_state
        is_learnt = batch.labels >= 0
        logits = model.lm_head(hidden[is_learnt])
    return functional.cross_entropy(logits.float(), batch.labels[is_learnt])


class Trainer:
    """One run: model, optimizer, data, and where it stands."""

    def __init__(self, recipe: Recipe, samples: list[Sample], run_dir: Path) -> None:
        """A run at step 0 that keeps its files in `run_dir`."""
        self.recipe = recipe
        self.samples = samples
        self.run_dir = run_dir
        self.model = build_model(recipe.shape, seed=recipe.seed)
        self.optimizer = make_optimizer(self.model, recipe)
        self.step = 0
        self.losses: list[tuple[int, float]] = []
        self.elapsed_s = 0.0

    def resume(self) -> None:
        """Goes on from the run's last checkpoint."""
        self.step = load_checkpoint(
            self.run_dir / "checkpoint.safetensors", self.model, self.optimizer
        )
        log = json.loads((self.run_dir / "losses.json").read_text(encoding="utf-8"))
        self.losses = [(step, loss) for step, loss in log["losses"]]
        self.elapsed_s = log["elapsed_s"]

    def save(self) -> None:
        """Writes checkpoint and loss log."""
        path = self.run_dir / "checkpoint.safetensors"
        save_checkpoint(path, self.model, self.optimizer, step=self.step)
        log = {"elapsed_s": self.elapsed_s, "losses": self.losses}
        (self.run_dir / "losses.json").write_text(json.dumps(log), encoding="utf-8")

    def train(self, last_step: int | None = None) -> None:
        """Takes steps until the recipe's number of steps or its time is used up.

        With `last_step` the run stops there, in the middle of its schedule.
        """
        recipe = self.recipe
        stream = batches(
            self.samples,
            batch_size=recipe.batch_size,
            row_length=recipe.row_length,
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
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, self.step, progress)
        loss = batch_loss(self.model, batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        return loss.item()

    def _report(self, loss: float) -> None:
        self.losses.append((self.step, loss))
        tokens = self.step * self.recipe.batch_size * self.recipe.row_length
        print(
            f"step {self.step:5d}/{self.recipe.num_steps}  loss {loss:.4f}  "
            f"{tokens / self.elapsed_s:,.0f} tokens/s  {self.elapsed_s / 60:.1f} min",
            flush=True,
        )
