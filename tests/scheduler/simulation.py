"""Random lives of a scheduler over the tag-checking fake model."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from sglite.config import CacheOptions, SchedulerOptions
from sglite.errors import CapacityError
from sglite.kvcache.cache_manager import CacheManager
from sglite.kvcache.groups import KVGroup
from sglite.observability.events import EventStream
from sglite.request import FinishReason, Request, RequestFinish, SamplingParams
from sglite.scheduler.invariants import check_scheduler
from sglite.scheduler.plan import StopMatch
from sglite.scheduler.scheduler import Scheduler
from tests.fakes import EOS, VOCAB, FakeExecutor, expected_output, mix

GROUPS = {
    "full": (KVGroup("paged_full", (0, 1)),),
    "window": (KVGroup("paged_window", (0, 1), window=7),),
    "mixed": (KVGroup("paged_full", (0,)), KVGroup("paged_window", (1,), window=5)),
}


@dataclass
class Setting:
    """What one random life runs on."""

    page_size: int = 4
    num_pages: int = 32
    max_rows: int = 8
    chunk: int | None = 8
    in_flight: int = 1
    policy: str = "lpm"
    groups: str = "full"
    num_stages: int = 1
    eviction: str = "lru"
    cache_off: bool = False
    static: bool = False
    retract_every: int = 0
    num_requests: int = 12
    max_prompt: int = 40
    max_cached_tokens: int | None = None

    @classmethod
    def drawn(cls, rng: random.Random) -> Setting:
        page_size = rng.choice([1, 2, 4, 16])
        num_stages = rng.choice([1] * 9 + [2, 3, 4])
        return cls(
            page_size=page_size,
            num_pages=max(4, rng.choice([60, 80, 160, 400]) // page_size),
            max_rows=rng.choice([1, 2, 4, 8]),
            chunk=rng.choice([1, 3, 7, 16, 64, None]),
            in_flight=rng.choice(_in_flight(num_stages)),
            num_stages=num_stages,
            policy=rng.choice(["fcfs", "lpm", "dfs-weight", "lof", "random", "priority"]),
            groups=rng.choice(["full", "full", "window", "mixed"]),
            eviction=rng.choice(["lru", "lfu", "priority"]),
            cache_off=rng.random() < 0.15,
            static=rng.random() < 0.1,
            retract_every=rng.choice([0, 0, 2, 5]),
            num_requests=rng.choice([3, 6, 10, 16]),
            max_cached_tokens=rng.choice([None, None, 0, 24]),
        )


def _in_flight(num_stages: int) -> list[int]:
    """How many steps may be open: mostly as many as there are stages."""
    return [1, 2, 2, 3] if num_stages == 1 else [num_stages, num_stages, 1, num_stages + 1]


@dataclass
class Life:
    """One scheduler, one fake executor, one random schedule of arrivals and faults."""

    setting: Setting
    rng: random.Random
    outputs: dict[str, list[int]] = field(default_factory=dict)
    finishes: dict[str, RequestFinish] = field(default_factory=dict)
    prompts: dict[str, list[int]] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    disturbed: set[str] = field(default_factory=set)
    stops: dict[str, int] = field(default_factory=dict)
    judged: set[str] = field(default_factory=set)
    now: float = 0.0
    num_steps: int = 0

    def __post_init__(self) -> None:
        s = self.setting
        options = SchedulerOptions(
            max_running_requests=s.max_rows,
            chunked_prefill_size=s.chunk,
            schedule_policy=s.policy,
            static_batching=s.static,
            max_wait_s=20.0,
        )
        cache_options = CacheOptions(
            page_size=s.page_size,
            disable_radix_cache=s.cache_off,
            radix_eviction_policy=s.eviction,
            radix_cache_max_tokens=s.max_cached_tokens,
        )
        groups = GROUPS[s.groups]
        self.cache = CacheManager(groups, [s.num_pages] * len(groups), cache_options, EventStream())
        self.scheduler = Scheduler(
            options, cache_options, self.cache, EventStream(), seed=1, num_stages=s.num_stages
        )
        self.executor = FakeExecutor(groups, s.num_pages, s.page_size)
        self.open: deque = deque()
        self.prefixes = [self._ids(self.rng.randint(1, 24)) for _ in range(3)]

    def run(self) -> None:
        """Play until every request has ended, then check that nothing is left."""
        to_come = self.setting.num_requests
        budget = 400 + 60 * self.setting.num_requests * 60
        while to_come or self.scheduler.has_work:
            if to_come and (self.rng.random() < 0.4 or not self.scheduler.has_work):
                to_come -= self._arrive()
            self._disturb()
            self._turn()
            assert self.num_steps < budget, "the scheduler makes no progress"
        self._check_end()

    def _turn(self) -> None:
        progressed, num_ended = False, len(self.finishes)
        while len(self.open) < self.setting.in_flight:
            plan = self.scheduler.plan_step(self._tick())
            if plan.is_empty:
                break
            handle = self.executor.launch(plan)
            self.open.append((plan, handle))
            progressed = True
        for plan, _ in self.open:
            self.executor.check_pages(plan, self.cache.allocators)
        if self.open:
            plan, handle = self.open.popleft()
            result = self.executor.collect(handle)
            self._judge(plan, result)
            self.scheduler.commit(plan, result, self._tick())
            progressed = True
        check_scheduler(self.scheduler)
        self._take_outputs()
        self.num_steps += 1
        progressed = progressed or len(self.finishes) > num_ended
        assert progressed or not self.scheduler.has_work, "work, but no step"

    def _arrive(self) -> int:
        count = 0
        for _ in range(self.rng.choice([1, 1, 2, 5])):
            number = len(self.prompts)
            if number >= self.setting.num_requests:
                break
            count += 1
            prompt = list(self.rng.choice(self.prefixes)) if self.rng.random() < 0.7 else []
            prompt = (prompt + self._ids(self.rng.randint(1, 16)))[: self.setting.max_prompt]
            room = self.setting.num_pages * self.setting.page_size - len(prompt)
            limit = min(self.rng.choice([0, 1, 2, 8, 20]), max(0, room))
            samples = self.rng.choice([1, 1, 1, 2])
            if number + samples > self.setting.num_requests:
                samples = 1
            count += samples - 1
            for sample in range(samples):
                self._add(
                    f"r{number + sample}", prompt, limit, f"g{number}" if samples > 1 else None
                )
        return count

    def _add(self, request_id: str, prompt: list[int], limit: int, group: str | None) -> None:
        self.prompts[request_id], self.limits[request_id] = prompt, limit
        self.outputs[request_id] = []
        if self.rng.random() < 0.15:
            self.stops[request_id] = self.rng.randint(1, 6)
        elif self.rng.random() < 0.3:
            self.judged.add(request_id)
        deadline = self.now + self.rng.randint(1, 60) if self.rng.random() < 0.05 else None
        if deadline is not None:
            self.disturbed.add(request_id)
        request = Request(
            request_id=request_id,
            prompt_token_ids=tuple(prompt),
            sampling=SamplingParams(),
            eos_token_ids=frozenset({EOS}),
            max_new_tokens=limit,
            group_id=group,
            priority=self.rng.randint(0, 2),
            namespace=self.rng.choice(["", "", "other"]) if group is None else "",
            deadline_s=deadline,
            pin_prefix=self.rng.random() < 0.1,
        )
        try:
            self.scheduler.add(request, self._tick())
        except CapacityError:
            raise AssertionError("the queue is large enough") from None

    def _disturb(self) -> None:
        rng, scheduler = self.rng, self.scheduler
        every = self.setting.retract_every
        if every and self.num_steps % every == 0 and len(scheduler.batch.running) > 1:
            victim = rng.choice(scheduler.batch.running[1:])
            scheduler.retract(victim.request_id)
        if rng.random() < 0.05 and scheduler.live:
            request_id = rng.choice(list(scheduler.live))
            self.disturbed.add(request_id)
            assert scheduler.abort(request_id, self._tick())
            assert not scheduler.abort(request_id, self._tick()), "an abort is idempotent"
        if rng.random() < 0.02:
            assert not scheduler.abort("unknown", self._tick())
        if rng.random() < 0.02 and scheduler.live:
            request_id = rng.choice(list(scheduler.live))
            self.disturbed.add(request_id)
            scheduler.fail(request_id, self._tick(), "the grammar failed")
        if rng.random() < 0.02 and scheduler.batch.running:
            request_id = rng.choice(scheduler.batch.running).request_id
            self.disturbed.add(request_id)
            rng.choice([self.executor.invalid_requests, self.executor.invalid_chunks]).add(
                request_id
            )
        if rng.random() < 0.02:
            self.cache.flush()

    def _judge(self, plan, result) -> None:
        """The output processor's part: a stop string after so many tokens, and what stands."""
        sequences = self.scheduler.open_steps[0].sequences
        for entry, run in enumerate(plan.sample_runs):
            sequence = sequences[run]
            if sequence.finished or sequence.void_until >= plan.step_id or entry in result.invalid:
                continue
            after = self.stops.get(sequence.request_id)
            if after is not None and sequence.num_output_tokens + 1 == after:
                result.stops[entry] = StopMatch("stop")
            if sequence.request_id in self.judged:
                sampled, limit = result.token_ids[entry], sequence.max_total
                stands = standing_tokens(sequence.token_ids, sampled, limit)
                if stands != [sampled]:
                    result.accepted[entry] = stands

    def _take_outputs(self) -> None:
        outputs = self.scheduler.take_outputs()
        for request_id, token in outputs.tokens:
            assert request_id not in self.finishes, "a token after the end"
            self.outputs[request_id].append(token)
        for finish in outputs.finished:
            assert finish.request_id not in self.finishes, "two terminal events"
            self.finishes[finish.request_id] = finish

    def _check_end(self) -> None:
        assert set(self.finishes) == set(self.prompts), "a request has no terminal event"
        for request_id, output in self.outputs.items():
            self._check_output(request_id, output)
        for namespace, key_ids in list(self.cache._pins):
            assert self.cache.unpin(namespace, list(key_ids))
        self.cache.flush()
        for allocator in self.cache.allocators:
            assert allocator.num_free == allocator.num_pages, "pages leaked"
        assert not self.scheduler.batch.draining and not self.open

    def _check_output(self, request_id: str, output: list[int]) -> None:
        finish = self.finishes[request_id]
        prompt, limit = self.prompts[request_id], self.limits[request_id]
        expected = expected_output(prompt, limit)
        if request_id in self.judged:
            expected = expected_output(prompt, limit, stands=standing_tokens)
        after = self.stops.get(request_id)
        if after is not None:
            expected = expected[:after]
        assert output == expected[: len(output)], f"{request_id} read foreign KV"
        assert finish.num_output_tokens == len(output)
        if request_id in self.disturbed:
            return
        if finish.message is not None and "pinned" in finish.message:
            return  # alone, and yet there was no room
        assert output == expected, f"{request_id} lost tokens: {finish}"
        is_stop = finish.reason is FinishReason.STOP
        assert is_stop or len(output) == self.limits[request_id]

    def _ids(self, count: int) -> list[int]:
        return [self.rng.randint(1, 6) for _ in range(count)]

    def _tick(self) -> float:
        self.now += 0.01
        return self.now


def standing_tokens(token_ids: list[int], sampled: int, limit: int) -> list[int]:
    """What a made-up judge lets stand after these tokens: now and then more, or another."""
    value = mix(sum(token_ids) % 1009, sampled, len(token_ids))
    tokens = [sampled]
    if value % 7 == 0:
        tokens = [1 + value % (VOCAB - 1)]
    if value % 5 == 0 and tokens != [EOS]:
        tokens += [1 + (value >> shift) % (VOCAB - 1) for shift in range(1, 2 + value % 11)]
    return tokens[: limit - len(token_ids)]
