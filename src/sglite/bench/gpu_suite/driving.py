"""Engines for the parts: options in one place, and a loop around ``Engine.step`` with a clock."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sglite.assembly import EngineParts, assemble_engine
from sglite.bench.gpu_suite.shapes import ModelShape
from sglite.bench.gpu_suite.suite import Suite
from sglite.bench.gpu_suite.workload import Ask
from sglite.config import EngineConfig
from sglite.config_fields import option_fields
from sglite.config_resolve import resolve
from sglite.hardware import detect_hardware
from sglite.models.loader import read_model_info
from sglite.observability.events import EventStream
from sglite.request import (
    FinishReason,
    LogprobParams,
    OutputBatch,
    Request,
    SamplingParams,
    TokenLogprobs,
)

GREEDY = SamplingParams(temperature=0.0, ignore_eos=True)
SAMPLED = SamplingParams(temperature=0.6, ignore_eos=True)
"""What the scripts of the offline benchmark sample with."""


def engine_config(suite: Suite, **changes: Any) -> EngineConfig:
    """The options of every engine of the suite, with ``changes``.

    In a dry run those that this version has no option for are dropped.
    """
    sizes = suite.sizes
    options: dict[str, Any] = {
        "device": str(suite.device),
        "dtype": sizes.dtype,
        "load_format": "dummy",
        "skip_tokenizer_init": True,
        "context_length": sizes.context,
        "max_running_requests": sizes.max_rows,
        "chunked_prefill_size": sizes.chunk,
        "max_in_flight": 2,
        "page_size": 64,
    }
    if sizes.is_toy:
        # In one thread: that is the one which the profiler sees on a CPU.
        options |= {"page_size": 16, "cpu_kernels": "torch", "max_in_flight": 1}
    options |= changes
    if sizes.is_toy:
        known = option_fields(EngineConfig)
        options = {name: value for name, value in options.items() if name in known}
    return EngineConfig(**options)


def model_directory(suite: Suite, shape: ModelShape) -> Path:
    """A directory with the config.json of ``shape``."""
    directory = suite.out / "models" / shape.name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(shape.config()), encoding="utf-8")
    return directory


@dataclass(frozen=True, slots=True)
class Run:
    """A batch that was answered.

    ``outputs`` are token ids in the order of the asks, ``logprobs`` those of each token where they
    were asked for. Turns of the engine's loop: when each ended, in seconds from the start, and how
    many tokens it gave; and the turn in which each answer began.
    """

    seconds: float
    outputs: list[list[int]]
    logprobs: list[list[TokenLogprobs]]
    turn_ends_s: list[float]
    turn_tokens: list[int]
    first_turns: list[int]

    @property
    def num_tokens(self) -> int:
        """All output tokens."""
        return sum(map(len, self.outputs))

    def turns_of(self, num_tokens: int) -> list[int]:
        """The turns that gave so many tokens, as did the turn before."""
        counts = self.turn_tokens
        return [
            turn for turn in range(1, len(counts)) if counts[turn] == counts[turn - 1] == num_tokens
        ]

    def seconds_of(self, turns: Sequence[int]) -> list[float]:
        """How long turns took that are not the first."""
        return [self.turn_ends_s[turn] - self.turn_ends_s[turn - 1] for turn in turns]


class Runner:
    """An engine and the loop that drives it."""

    def __init__(self, parts: EngineParts) -> None:
        self.parts = parts
        self.engine = parts.engine
        self._count = 0

    def run(
        self,
        asks: Sequence[Ask],
        sampling: SamplingParams = GREEDY,
        *,
        logprobs: LogprobParams | None = None,
    ) -> Run:
        """Answer all of them together. Raises RuntimeError where a request fails."""
        requests = [self.request(ask, sampling, logprobs=logprobs) for ask in asks]
        engine, clock = self.engine, time.perf_counter
        turns: list[tuple[float, OutputBatch]] = []
        start_s = clock()
        for request in requests:
            engine.add(request)
        while engine.has_work:
            outputs = engine.step()
            turns.append((clock() - start_s, outputs))
        seconds = clock() - start_s
        return sorted_out([request.request_id for request in requests], turns, seconds)

    def request(
        self, ask: Ask, sampling: SamplingParams = GREEDY, *, logprobs: LogprobParams | None = None
    ) -> Request:
        """What the engine takes for an ask, under a name of its own."""
        self._count += 1
        seed = sampling.sampling_seed
        return Request(
            request_id=f"r{self._count}",
            prompt_token_ids=ask.token_ids,
            sampling=sampling,
            logprobs=logprobs,
            seed=self._count if seed is None else seed,
            max_new_tokens=ask.num_new_tokens,
        )

    def forget(self) -> None:
        """Empty the prefix cache, so that the same prompts are computed again."""
        assert self.engine.try_flush_cache(), "requests are still running"

    def close(self) -> None:
        """Stop the engine and give its memory back."""
        self.engine.close()
        del self.engine, self.parts
        if torch.cuda.is_available():
            gc.unfreeze()
            gc.collect()
            torch.cuda.empty_cache()


def sorted_out(
    request_ids: Sequence[str], turns: Sequence[tuple[float, OutputBatch]], seconds: float
) -> Run:
    """What the turns gave, by request. Raises RuntimeError where a request failed."""
    places = {request_id: place for place, request_id in enumerate(request_ids)}
    answers = [list[int]() for _ in places]
    scores = [list[TokenLogprobs]() for _ in places]
    first_turns = [-1 for _ in places]
    for turn, (_, outputs) in enumerate(turns):
        for index, (request_id, token_id) in enumerate(outputs.tokens):
            place = places[request_id]
            if not answers[place]:
                first_turns[place] = turn
            answers[place].append(token_id)
            if index in outputs.logprobs:
                scores[place].append(outputs.logprobs[index])
        for finish in outputs.finished:
            if finish.reason is not FinishReason.LENGTH:
                raise RuntimeError(f"a request ended with {finish.reason}: {finish.message}")
    counts = [len(outputs.tokens) for _, outputs in turns]
    ends_s = [end_s for end_s, _ in turns]
    return Run(seconds, answers, scores, ends_s, counts, first_turns)


def start_runner(config: EngineConfig, directory: Path) -> Runner:
    """Load the model of a directory into an engine."""
    config = resolve(config.replace(model_path=str(directory)), detect_hardware())
    info = read_model_info(directory)
    parts = assemble_engine(
        config,
        info,
        make_checker=lambda sampling: None,
        events=EventStream(),
        show_progress=False,
    )
    return Runner(parts)


def runner_for(suite: Suite, shape: ModelShape, **changes: Any) -> Runner:
    """An engine with random weights; that of the part before where it is the same."""
    key = (shape, *sorted(changes.items()))
    if suite.runner is None or suite.runner_key != key:
        suite.close_runner()
        start_s = time.perf_counter()
        config = engine_config(suite, **changes)
        suite.runner = start_runner(config, model_directory(suite, shape))
        suite.runner_key = key
        gc.collect()
        gc.freeze()  # as a server does: what lives on is not walked through again
        suite.say(f"{shape.name} is ready after {time.perf_counter() - start_s:.1f} s")
        suite.recorder.detail("start_s", time.perf_counter() - start_s)
    suite.runner.forget()
    return suite.runner
