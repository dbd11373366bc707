"""Drives a scheduler through the engine's loop over the tag-checking fake model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sglite.config import EngineConfig
from sglite.config_resolve import resolve
from sglite.engine.engine import Engine
from sglite.engine.output_processor import MakeConstraint, MakeStopChecker, OutputProcessor
from sglite.grammar.masks import MaskFiller
from sglite.hardware import HardwareFacts
from sglite.kvcache.cache_manager import CacheManager
from sglite.observability.events import Admitted, Event, EventStream
from sglite.request import (
    LogprobParams,
    OutputBatch,
    Request,
    RequestFinish,
    SamplingParams,
    TokenLogprobs,
)
from sglite.scheduler.plan import StepPlan, StepResult
from sglite.scheduler.scheduler import Scheduler
from tests.fakes import EOS, VOCAB, FakeExecutor, expected_output
from tests.scheduler.simulation import GROUPS


@dataclass
class RecordingExecutor(FakeExecutor):
    """The fake model, which also notes who called it, in order, and what with.

    ``seconds`` says how long a step of so many tokens took. Prompt log-probabilities name the
    tokens that they are about.
    """

    seconds: Callable[[int], float] = lambda num_tokens: 0.0
    calls: list[tuple[str, int]] = field(default_factory=list)
    plans: list[StepPlan] = field(default_factory=list)
    is_closed: bool = False

    def launch(self, plan: StepPlan) -> Any:
        self.calls.append(("launch", plan.step_id))
        self.plans.append(plan)
        result = super().launch(plan)
        result.elapsed_s = self.seconds(sum(plan.run_lengths))
        result.prompt_logprobs = [
            [TokenLogprobs(token, -1.0) for token in span.targets]
            for span in plan.prompt_logprob_spans
        ]
        return plan, result

    def sample(self, handle: Any, masks: object = None) -> None:
        self.calls.append(("sample", handle[0].step_id))

    def collect(self, handle: Any) -> StepResult:
        self.calls.append(("collect", handle[0].step_id))
        return handle[1]

    def close(self) -> None:
        self.is_closed = True


@dataclass
class SchedulerDriver:
    """A scheduler in its loop, and everything it said. ``now`` is its clock."""

    engine: Engine
    executor: RecordingExecutor
    events: list[Event] = field(default_factory=list)
    outputs: dict[str, list[int]] = field(default_factory=dict)
    prompts: dict[str, list[int]] = field(default_factory=dict)
    prompt_logprobs: dict[str, list[int]] = field(default_factory=dict)
    finishes: dict[str, RequestFinish] = field(default_factory=dict)
    now: float = 0.0

    @classmethod
    def make(
        cls,
        *,
        page_size: int = 4,
        num_pages: int = 256,
        groups: str = "full",
        make_checker: MakeStopChecker = lambda _: None,
        make_constraint: MakeConstraint = lambda _: None,
        **options: Any,
    ) -> SchedulerDriver:
        config = EngineConfig(page_size=page_size, **{"chunked_prefill_size": 64, **options})
        config = resolve(config, HardwareFacts())
        stream = EventStream()
        spec = GROUPS[groups]
        cache = CacheManager(spec, [num_pages] * len(spec), config, stream)
        scheduler = Scheduler(config, config, cache, stream, seed=7, num_stages=config.pp_size)
        executor = RecordingExecutor(spec, num_pages, page_size)
        engine = Engine(
            scheduler,
            executor,  # type: ignore[arg-type]
            OutputProcessor(make_checker, make_constraint, MaskFiller(VOCAB, num_threads=1)),
            max_in_flight=config.max_in_flight,
            check=True,
        )
        driver = cls(engine, executor)
        engine.clock = lambda: driver.now
        stream.subscribe(driver.events.append)
        return driver

    @property
    def scheduler(self) -> Scheduler:
        return self.engine.scheduler

    def add(
        self,
        request_id: str,
        prompt: Sequence[int],
        max_new_tokens: int = 8,
        *,
        start_len: int | None = None,
        **traits: Any,
    ) -> None:
        """Queue a request; ``start_len`` asks for prompt log-probabilities."""
        logprobs = None if start_len is None else LogprobParams(start_len=start_len)
        request = Request(
            request_id=request_id,
            prompt_token_ids=list(prompt),
            max_new_tokens=max_new_tokens,
            logprobs=logprobs,
            eos_token_ids=frozenset({EOS}),
            **{"sampling": SamplingParams(), **traits},
        )
        self.engine.add(request)
        self.prompts[request_id], self.outputs[request_id] = list(prompt), []
        self.prompt_logprobs[request_id] = []

    def turn(self, count: int = 1) -> None:
        """Turn the loop, and check what it tells."""
        for _ in range(count):
            outputs = self.engine.step()
            for step in self.engine._in_flight:
                self.executor.check_pages(step.plan, self.scheduler.cache.allocators)
            self._take(outputs)

    def run(self, *, most_turns: int = 2000) -> None:
        """Turn the loop until nothing is left to do."""
        for _ in range(most_turns):
            if not self.engine.has_work:
                return
            self.turn()
        raise AssertionError(f"no end after {most_turns} turns: {list(self.scheduler.live)}")

    def check_all_free(self) -> None:
        """Nothing is held any more but by the prefix cache, and that can be emptied."""
        assert not self.engine.has_work
        assert not self.scheduler.live and not self.scheduler.queue.arrivals
        self.scheduler.cache.flush()
        for allocator in self.scheduler.cache.allocators:
            assert allocator.num_free == allocator.num_pages

    def check_output(self, request_id: str) -> None:
        """The request got what it would get alone."""
        finish = self.finishes[request_id]
        limit = finish.max_new_tokens
        assert self.outputs[request_id] == expected_output(self.prompts[request_id], limit)
        assert finish.num_output_tokens == len(self.outputs[request_id])

    def admission_order(self) -> list[str]:
        return [event.request_id for event in self.told(Admitted)]

    def told(self, kind: type[Any]) -> list[Any]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def _take(self, outputs: OutputBatch) -> None:
        for request_id, token_id in outputs.tokens:
            assert request_id not in self.finishes, "a token after the end"
            self.outputs[request_id].append(token_id)
        for request_id, scored in outputs.prompt_logprobs:
            self.prompt_logprobs[request_id] += [entry.token_id for entry in scored]
        for finish in outputs.finished:
            assert finish.request_id not in self.finishes, "two terminal events"
            self.finishes[finish.request_id] = finish


def prompts_with_output(num_tokens: int, *, ends: bool, count: int) -> list[list[int]]:
    """Prompts of two tokens whose output has EOS exactly as its ``num_tokens``-th, or not at all.

    No two of them begin with the same token.
    """
    found = []
    for first in range(1, 97):
        for second in range(1, 97):
            output = expected_output([first, second], num_tokens)
            if len(output) == num_tokens and (output[-1] == EOS) == ends:
                found.append([first, second])
                break
    assert len(found) >= count, f"only {len(found)} such prompts"
    return found[:count]


def prompt_with_output(num_tokens: int, *, ends: bool) -> list[int]:
    """The first of :func:`prompts_with_output`."""
    return prompts_with_output(num_tokens, ends=ends, count=1)[0]
