"""A checkpoint under transformers: the reference of ``sglite verify``. V vocabulary, T tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from sglite.errors import ModelLoadError


@dataclass(frozen=True)
class ReferenceScores:
    """Logits ``[T, V]`` (float32) of one sequence; row t scores position t + 1."""

    logits_TV: torch.Tensor

    @property
    def max_logit(self) -> float:
        """Largest absolute logit."""
        return float(self.logits_TV.abs().max())

    def best(self, position: int) -> tuple[int, float]:
        """The most likely token at ``position``, and its logit's lead over the second."""
        top = self.logits_TV[position - 1].topk(2)
        return int(top.indices[0]), float(top.values[0] - top.values[1])

    def logprob(self, position: int, token_id: int) -> float:
        """Log-probability of a token at ``position``."""
        logits_V = self.logits_TV[position - 1]
        return float(logits_V[token_id] - logits_V.logsumexp(dim=-1))


@dataclass(frozen=True)
class ReferenceModel:
    """A causal model of transformers with its plain attention."""

    model: Any
    dtype: str

    @classmethod
    def load(cls, path: str, *, dtype: str) -> ReferenceModel:
        """Load a checkpoint; ``dtype`` "auto" takes its own. ModelLoadError where that fails."""
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        try:
            model = transformers.AutoModelForCausalLM.from_pretrained(
                path,
                dtype=dtype if dtype == "auto" else getattr(torch, dtype),
                attn_implementation="eager",
                trust_remote_code=False,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelLoadError(f"transformers does not load {path}: {error}") from error
        return cls(model=model.eval(), dtype=str(model.dtype).removeprefix("torch."))

    def score(self, token_ids: list[int]) -> ReferenceScores:
        """One forward pass over a sequence."""
        with torch.inference_mode():
            logits_1TV = self.model(torch.tensor([token_ids]), use_cache=False).logits
        return ReferenceScores(logits_1TV[0].float())
