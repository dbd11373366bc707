"""Drives a real engine over a tiny model without threads or text, and records what it tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sglite.assembly import build_engine
from sglite.config import EngineConfig
from sglite.config_resolve import resolve
from sglite.engine.engine import Engine
from sglite.engine.output_processor import MakeConstraint
from sglite.hardware import HardwareFacts
from sglite.models.decoder import Decoder
from sglite.models.generation_config import GenerationDefaults
from sglite.models.hf_config import HFConfig
from sglite.models.loader import LoadedModel
from sglite.observability.events import Event, EventStream, Stepped
from sglite.request import (
    LogprobParams,
    OutputBatch,
    Request,
    RequestFinish,
    SamplingParams,
    TokenLogprobs,
)

GREEDY = SamplingParams(temperature=0.0, ignore_eos=True)


def as_loaded(decoder: Decoder) -> LoadedModel:
    """A decoder as the loader would have returned it."""
    hf = HFConfig.from_dict({"architectures": [decoder.spec.architecture]})
    defaults, share = GenerationDefaults(), decoder.share
    return LoadedModel(decoder, decoder.spec, hf, defaults, decoder.dtype, 0, share)


@dataclass
class Driver:
    """An engine, and everything it said."""

    engine: Engine
    events: list[Event] = field(default_factory=list)
    outputs: dict[str, list[int]] = field(default_factory=dict)
    logprobs: dict[str, list[TokenLogprobs]] = field(default_factory=dict)
    prompt_logprobs: dict[str, list[TokenLogprobs]] = field(default_factory=dict)
    finishes: dict[str, RequestFinish] = field(default_factory=dict)
    retract_every: int = 0
    num_turns: int = 0

    @classmethod
    def make(
        cls,
        decoder: Decoder,
        *,
        num_pages: int = 4096,
        retract_every: int = 0,
        make_constraint: MakeConstraint = lambda setup: None,
        **options: Any,
    ) -> Driver:
        defaults = {"device": "cpu", "check": True, "max_running_requests": 64}
        config = EngineConfig(**{**defaults, "context_length": 2048, **options})
        config = resolve(config, HardwareFacts())
        stream = EventStream()
        engine = build_engine(
            config,
            as_loaded(decoder),
            num_pages,
            make_checker=lambda _: None,
            make_constraint=make_constraint,
            events=stream,
        )
        driver = cls(engine, retract_every=retract_every)
        stream.subscribe(driver.events.append)
        return driver

    def add(
        self,
        request_id: str,
        prompt: list[int],
        *,
        max_new_tokens: int = 16,
        sampling: SamplingParams = GREEDY,
        logprobs: LogprobParams | None = None,
        **traits: Any,
    ) -> None:
        self.outputs[request_id] = []
        self.logprobs[request_id], self.prompt_logprobs[request_id] = [], []
        self.engine.add(
            Request(
                request_id=request_id,
                prompt_token_ids=prompt,
                sampling=sampling,
                logprobs=logprobs,
                max_new_tokens=max_new_tokens,
                **traits,
            )
        )

    def run(self) -> None:
        """Turn the loop until nothing is left to do."""
        while self.engine.has_work:
            self._retract()
            self.take(self.engine.step())

    def take(self, outputs: OutputBatch) -> None:
        """Note what a turn of the loop told."""
        for index, (request_id, token_id) in enumerate(outputs.tokens):
            self.outputs[request_id].append(token_id)
            if index in outputs.logprobs:
                self.logprobs[request_id].append(outputs.logprobs[index])
        for request_id, scored in outputs.prompt_logprobs:
            self.prompt_logprobs[request_id] += scored
        for finish in outputs.finished:
            assert finish.request_id not in self.finishes
            self.finishes[finish.request_id] = finish

    def num_computed_tokens(self, *, prompts_only: bool = False) -> int:
        """Tokens that went through the model, counted from the events."""
        runs = [run for event in self.events if isinstance(event, Stepped) for run in event.runs]
        return sum(length for _, _, length, _ in runs if not prompts_only or length > 1)

    def _retract(self) -> None:
        self.num_turns += 1
        running = self.engine.scheduler.batch.running
        if self.retract_every and self.num_turns % self.retract_every == 0 and len(running) > 1:
            victim = running[1 + self.num_turns % (len(running) - 1)]
            assert self.engine.scheduler.retract(victim.request_id)
