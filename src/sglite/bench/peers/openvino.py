"""OpenVINO GenAI, continuous batching. The model is a directory that optimum-intel exported."""

from __future__ import annotations

import importlib
import time
from typing import Any


class Peer:
    """``precision`` is OpenVINO's hint (``bf16``, ``f32``; empty: its own choice)."""

    def __init__(
        self,
        model: str,
        *,
        threads: int = 2,
        cache_gib: int = 4,
        precision: str = "",
        dtype: str = "",
    ) -> None:
        # The exported model has the type of its weights; ``dtype`` says nothing here.
        self._genai: Any = importlib.import_module("openvino_genai")
        self._openvino: Any = importlib.import_module("openvino")
        self._numpy: Any = importlib.import_module("numpy")
        settings = self._genai.SchedulerConfig()
        settings.cache_size = cache_gib
        settings.enable_prefix_caching = True
        settings.max_num_seqs = 64
        settings.max_num_batched_tokens = 2048
        settings.dynamic_split_fuse = True
        properties: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads}
        if precision:
            properties["INFERENCE_PRECISION_HINT"] = precision
        self._pipeline = self._genai.ContinuousBatchingPipeline(model, settings, "CPU", properties)
        self._num_streams = 0
        self.version = f"openvino-genai {self._genai.__version__}"

    def batch(self, requests: list[tuple[list[int], int]]) -> list[list[int]]:
        """The greedy tokens of each ``(prompt, number of new tokens)``."""
        prompts = [self._tensor(prompt) for prompt, _ in requests]
        params = [self._greedy(count) for _, count in requests]
        done = self._pipeline.generate(prompts, params)
        return [list(each.m_generation_ids[0]) for each in done]

    def stream(self, prompt: list[int], count: int) -> tuple[float, float, list[int]]:
        """Seconds to the first token, seconds in all, and the tokens."""
        self._num_streams += 1
        ids, params = self._tensor(prompt), self._greedy(count)
        start_s = time.perf_counter()
        first_s: float | None = None
        output: list[int] = []
        handle = self._pipeline.add_request(self._num_streams, ids, params)
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
            output += self._read(handle)
            if output and first_s is None:
                first_s = time.perf_counter() - start_s
        return first_s or 0.0, time.perf_counter() - start_s, output

    def close(self) -> None:
        """Nothing is left to end: the engine runs in this process."""

    def _read(self, handle: Any) -> list[int]:
        """What has come since the last time."""
        token_ids: list[int] = []
        while handle.can_read():
            for piece in handle.read().values():
                token_ids += piece.generated_ids
        return token_ids

    def _tensor(self, prompt: list[int]) -> Any:
        return self._openvino.Tensor(self._numpy.array([prompt], dtype=self._numpy.int64))

    def _greedy(self, count: int) -> Any:
        config = self._genai.GenerationConfig()
        config.max_new_tokens = config.min_new_tokens = count
        config.ignore_eos = True
        config.do_sample = False
        return config
