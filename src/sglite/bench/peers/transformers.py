"""transformers' ``generate()``: padded to the longest prompt, run to the longest answer."""

from __future__ import annotations

import time
from typing import Any

PAD = 0


class Peer:
    """``dtype`` is torch's name of the weights' type; a batch is cut into ``batch_size``."""

    def __init__(
        self, model: str, *, dtype: str = "bfloat16", threads: int = 2, batch_size: int = 32
    ) -> None:
        import torch
        import transformers

        torch.set_num_threads(threads)
        loaded = transformers.AutoModelForCausalLM.from_pretrained(
            model, dtype=getattr(torch, dtype)
        )
        self._model = loaded.eval()
        self._model.generation_config.eos_token_id = None
        self._batch_size = batch_size
        self.version = f"transformers {transformers.__version__}, torch {torch.__version__}"

    def batch(self, requests: list[tuple[list[int], int]]) -> list[list[int]]:
        """The greedy tokens of each ``(prompt, number of new tokens)``."""
        outputs: list[list[int]] = []
        for start in range(0, len(requests), self._batch_size):
            outputs += self._padded(requests[start : start + self._batch_size])
        return outputs

    def stream(self, prompt: list[int], count: int) -> tuple[float, float, list[int]]:
        """Seconds to the first token, seconds in all, and the tokens."""
        import torch

        moments = _Moments()
        ids = torch.tensor([prompt])
        start_s = time.perf_counter()
        whole = self._generate(ids, torch.ones_like(ids), count, streamer=moments)
        seconds = time.perf_counter() - start_s
        return moments.seen[1] - start_s, seconds, whole[0, len(prompt) :].tolist()

    def close(self) -> None:
        """Nothing is left to end."""

    def _padded(self, requests: list[tuple[list[int], int]]) -> list[list[int]]:
        import torch

        longest = max(len(prompt) for prompt, _ in requests)
        ids = torch.full((len(requests), longest), PAD)
        mask = torch.zeros_like(ids)
        for row, (prompt, _) in enumerate(requests):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        whole = self._generate(ids, mask, max(count for _, count in requests))
        return [
            whole[row, longest : longest + count].tolist()
            for row, (_, count) in enumerate(requests)
        ]

    def _generate(self, ids: Any, mask: Any, count: int, **more: Any) -> Any:
        import torch

        with torch.inference_mode():
            return self._model.generate(
                ids,
                attention_mask=mask,
                do_sample=False,
                max_new_tokens=count,
                eos_token_id=None,
                pad_token_id=PAD,
                **more,
            )


class _Moments:
    """When transformers' streamer was called: for the prompt, then for each token."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def put(self, value: Any) -> None:
        self.seen.append(time.perf_counter())

    def end(self) -> None:
        """Nothing is held back."""
