"""vLLM's CPU build through its offline ``LLM``; a stream steps its engine.

Quantised checkpoints say so in their config.json. The environment that it wants is set by whoever
starts this process.
"""

from __future__ import annotations

import importlib
import time
from typing import Any


class Peer:
    """``options`` are further keywords of vLLM's ``LLM``."""

    def __init__(
        self, model: str, *, dtype: str = "bfloat16", threads: int = 2, **options: Any
    ) -> None:
        self._vllm: Any = importlib.import_module("vllm")
        torch: Any = importlib.import_module("torch")
        torch.set_num_threads(threads)
        settings = {
            "max_model_len": 4096,
            "gpu_memory_utilization": 0.4,  # of the machine's memory, on a CPU; others wait in it
            "enable_prefix_caching": True,
            "disable_log_stats": True,
        }
        self._llm = self._vllm.LLM(model, dtype=dtype, **settings | options)
        self._num_streams = 0
        self.version = f"vllm {self._vllm.__version__}, torch {torch.__version__}"

    def batch(self, requests: list[tuple[list[int], int]]) -> list[list[int]]:
        """The greedy tokens of each ``(prompt, number of new tokens)``."""
        prompts = [{"prompt_token_ids": list(prompt)} for prompt, _ in requests]
        params = [self._greedy(count) for _, count in requests]
        done = self._llm.generate(prompts, params, use_tqdm=False)
        return [list(each.outputs[0].token_ids) for each in done]

    def stream(self, prompt: list[int], count: int) -> tuple[float, float, list[int]]:
        """Seconds to the first token, seconds in all, and the tokens."""
        self._num_streams += 1
        engine = self._llm.llm_engine
        kinds = importlib.import_module("vllm.sampling_params").RequestOutputKind
        params = self._greedy(count, output_kind=kinds.CUMULATIVE)
        start_s = time.perf_counter()
        first_s = 0.0
        output: list[int] = []
        engine.add_request(f"stream-{self._num_streams}", {"prompt_token_ids": prompt}, params)
        while engine.has_unfinished_requests():
            for each in engine.step():
                token_ids = list(each.outputs[0].token_ids)
                if token_ids and not output:
                    first_s = time.perf_counter() - start_s
                output = token_ids
        return first_s, time.perf_counter() - start_s, output

    def close(self) -> None:
        """Nothing is left to end: the engine runs in this process."""

    def _greedy(self, count: int, **more: Any) -> Any:
        # Token ids in and out, as for every engine: no text is made.
        return self._vllm.SamplingParams(
            temperature=0.0, max_tokens=count, ignore_eos=True, detokenize=False, **more
        )
