"""The scheduler: a deterministic state machine that decides every step.

    plan_step   reserves rows and pages for the most that can happen in a step
    commit      turns its results into facts; the only place where a request advances

Several steps may be open; they commit in order. A request leaves by one door, ``_finish``.
"""

from __future__ import annotations

from collections import deque

from sglite.config import CacheOptions, SchedulerOptions
from sglite.kvcache.cache_manager import CacheManager, SequencePages
from sglite.observability import events as ev
from sglite.request import FinishReason, OutputBatch, Request
from sglite.scheduler.admission import Admission, why_no_room
from sglite.scheduler.budget import ChunkBudget, NewTokenEstimate
from sglite.scheduler.commit import (
    count_decodes,
    leave_windows,
    mark_poisoned,
    take_judged,
    tell_prompt_logprobs,
)
from sglite.scheduler.intake import Intake
from sglite.scheduler.pipeline import fair_share
from sglite.scheduler.plan import StepPlan, StepResult
from sglite.scheduler.prefix_index import PrefixIndex
from sglite.scheduler.running_batch import RunningBatch
from sglite.scheduler.sequence import Sequence, SequenceState
from sglite.scheduler.step_builder import (
    Step,
    add_chunk,
    add_decodes,
    add_new_pages,
    describe_admission,
    describe_arrival,
    describe_step,
    row_setup,
)
from sglite.scheduler.waiting_queue import WaitingQueue

NOT_A_NUMBER = "the model's output was not a number"


class Scheduler:
    """Requests in, step plans out, results in, outputs out.

    ``now`` is always handed in: seconds on one monotonic clock. With ``num_stages`` above 1 the
    executor is a pipeline of as many stages: see :mod:`sglite.scheduler.pipeline`.
    """

    def __init__(
        self,
        options: SchedulerOptions,
        cache_options: CacheOptions,
        cache: CacheManager,
        events: ev.EventStream,
        *,
        seed: int = 0,
        num_stages: int = 1,
    ) -> None:
        self.cache = cache
        self.num_stages = num_stages
        self.live: dict[str, Sequence] = {}
        self.is_paused = False
        self.prefixes = PrefixIndex(cache.page_size)
        self.queue = WaitingQueue(
            options.schedule_policy,
            cache,
            max_wait_s=options.max_wait_s,
            lpm_fallback_threshold=options.lpm_fallback_threshold,
            seed=seed,
        )
        self.batch = RunningBatch(
            options.max_running_requests,
            cache,
            self.prefixes,
            events,
            on_longer_prefix=lambda _: self.queue.reorder(),
        )
        self.estimate = NewTokenEstimate(options.schedule_conservativeness)
        self.budget = ChunkBudget(options)
        self._options = options
        self._events = events
        self._intake = Intake(options, cache_options, cache, self.queue)
        self._admission = Admission(cache, self.queue, self.prefixes, self.estimate, events)
        self.open_steps: deque[Step] = deque()
        self._outputs = OutputBatch()
        self._last_planned = 0
        self._last_committed = 0

    # -- requests ----------------------------------------------------------------------------------

    def add(self, request: Request, now: float) -> None:
        """Queue a request. Raises CapacityError, and loses nothing, where the queue is full."""
        assert request.request_id not in self.live, f"request id in use: {request.request_id}"
        num_free_rows, num_live = len(self.batch.free_rows), len(self.live)
        sequence = self._intake.accept(request, now, num_free_rows=num_free_rows, num_live=num_live)
        self.live[request.request_id] = sequence
        if self._events.active:
            self._events.emit(describe_arrival(sequence))
        self._enqueue(sequence)

    def abort(self, request_id: str, now: float, message: str = "aborted by the caller") -> bool:
        """End a request in whatever state it is; False if no such request lives."""
        return self._end(request_id, FinishReason.ABORT, now, message)

    def fail(self, request_id: str, now: float, message: str) -> bool:
        """End a request for a fault that is its alone; False if no such request lives."""
        return self._end(request_id, FinishReason.ERROR, now, message)

    def retract(self, request_id: str, reason: str = "asked for") -> bool:
        """Send a running request back to the queue with its tokens; False if it does not run."""
        sequence = self.live.get(request_id)
        if sequence is None or sequence.state is not SequenceState.RUNNING:
            return False
        self._retract(sequence, reason)
        return True

    def take_outputs(self) -> OutputBatch:
        """Everything to tell the callers since the last call."""
        outputs, self._outputs = self._outputs, OutputBatch()
        return outputs

    @property
    def has_work(self) -> bool:
        """True while a request lives, a step or its pages wait for a commit, or there is news."""
        return bool(self.live or self.open_steps or self.batch.draining or self._outputs)

    @property
    def num_open_steps(self) -> int:
        """Steps planned and not committed."""
        return len(self.open_steps)

    # -- plan --------------------------------------------------------------------------------------

    def plan_step(self, now: float) -> StepPlan:
        """Decide the next step. An empty plan is not launched: nothing to do until something
        is committed or arrives.
        """
        for sequence in self._intake.expired(now):
            message = "the request's deadline passed before it was done"
            self._end(sequence.request_id, FinishReason.ABORT, now, message)
        self._last_planned += 1
        step = Step(StepPlan(self._last_planned, len(self.cache.groups)))
        budget = 0
        if not self.is_paused:
            prefilling = self._plan_decodes(step, now)
            start = prefilling[0].num_scheduled if prefilling else 0
            budget = self.budget.tokens(step.work, start)
            left = self._plan_chunks(step, prefilling, budget)
            self._plan_admissions(step, left, now)
            if len(self.queue) and not (step.sequences or self.open_steps or self.batch.running):
                self._end_for_room(self.queue.ordered(now)[0], now)
        if not step.plan.is_empty:
            self.batch.open_plan(step.plan)
            self.open_steps.append(step)
            if self._events.active:
                self._events.emit(describe_step(step, len(self.queue), budget))
        return step.plan

    def _plan_decodes(self, step: Step, now: float) -> list[Sequence]:
        """One token for every sequence that only lacks its last one; returns the others.

        Of a pipeline, only for those whose last token is back from it, and their share of them.
        """
        decoding: list[Sequence] = []
        others: list[Sequence] = []
        running, is_pipeline, num_awaited = SequenceState.RUNNING, self.num_stages > 1, 0
        for sequence in list(self.batch.running):
            if sequence.state is not running:
                continue  # retracted in this very loop, to make room for an older one
            if is_pipeline and sequence.num_pending:
                num_awaited += 1
                continue
            # Written out, not called: this is the loop that 1,024 decoding requests go through.
            bound, pages = sequence.num_tokens + sequence.num_pending, sequence.pages
            assert pages is not None
            if not sequence.row_has_sample or bound - sequence.num_scheduled != 1:
                if bound <= pages.capacity or self._has_room(step, sequence, pages, now):
                    others.append(sequence)
            elif bound < sequence.max_total and (
                bound <= pages.capacity or self._has_room(step, sequence, pages, now)
            ):
                decoding.append(sequence)
        decoding = fair_share(decoding, num_awaited, self.num_stages)
        add_decodes(step, decoding, are_known=is_pipeline)
        return others

    def _plan_chunks(self, step: Step, sequences: list[Sequence], budget: int) -> int:
        """Spend ``budget`` on prompts that hold rows, oldest first; returns what is left."""
        for sequence in sequences:
            if budget <= 0:
                break
            is_behind = sequence.num_scheduled < sequence.num_tokens
            if is_behind and sequence.state is SequenceState.RUNNING:
                budget -= add_chunk(step, sequence, budget)
        return budget

    def _plan_admissions(self, step: Step, budget: int, now: float) -> None:
        """Give rows to waiting requests while budget, rows and pages last."""
        batch, static = self.batch, self._options.static_batching
        if budget <= 0 or not batch.free_rows or not len(self.queue):
            return
        if static and (batch.running or batch.draining):
            return
        for sequence in self._admission.candidates(batch.running, now):
            self._start(step.plan, sequence, now)
            if budget > 0:
                budget -= add_chunk(step, sequence, budget)
            if not batch.free_rows or (budget <= 0 and not static):
                break
        if step.plan.added_rows:
            self.queue.drop_departed()

    def _start(self, plan: StepPlan, sequence: Sequence, now: float) -> None:
        self.batch.join(sequence)
        plan.added_rows.append(row_setup(sequence))
        if sequence.timings.admitted_s is None:
            sequence.timings.admitted_s = now
            sequence.num_cached_tokens = sequence.num_computed
            self._outputs.started.append((sequence.request_id, sequence.num_cached_tokens))
        if self._events.active:
            self._events.emit(describe_admission(sequence, now))

    # -- memory pressure ---------------------------------------------------------------------------

    def _has_room(self, step: Step, sequence: Sequence, pages: SequencePages, now: float) -> bool:
        """Reserve a slot for the next token, at the cost of younger sequences if need be."""
        first_new = len(pages.page_ids[0])
        while not self.cache.try_grow(pages, sequence.num_bound):
            if not self._make_room(sequence, now):
                return False
        add_new_pages(step.plan, sequence.row, pages, first_new)
        return True

    def _make_room(self, sequence: Sequence, now: float) -> bool:
        """Retract the youngest; False if ``sequence`` is to sit this step out (or has left)."""
        if self.batch.draining or any(a.num_deferred for a in self.cache.allocators):
            return False  # a commit will free pages: better to wait than to recompute
        victim = self.batch.running[-1]
        if victim is self.batch.running[0]:
            if not sequence.num_pending:  # else a token is on its way, and it may be the last
                self._end_for_room(sequence, now)
            return False
        self._retract(victim, "no free KV page")
        return victim is not sequence

    def _end_for_room(self, sequence: Sequence, now: float) -> None:
        """End a request that is alone and yet has no room, rather than try it for ever."""
        message = why_no_room(self.cache, sequence)
        reason = FinishReason.LENGTH if sequence.num_output_tokens else FinishReason.ERROR
        self._end(sequence.request_id, reason, now, message)

    def _retract(self, sequence: Sequence, reason: str) -> None:
        sequence.num_retractions += 1
        self.estimate.correct(self.batch.running)
        if self._events.active:
            self._events.emit(ev.Retracted(sequence.request_id, sequence.num_tokens, reason))
        self.batch.leave(sequence)
        self._settle()

    # -- commit ------------------------------------------------------------------------------------

    def commit(self, plan: StepPlan, result: StepResult, now: float) -> None:
        """Turn the results of the oldest open step into facts."""
        step = self.open_steps.popleft()
        assert step.plan is plan, f"step {plan.step_id} was committed out of order"
        self._last_committed = plan.step_id
        self.cache.commit_step(plan.step_id)
        num_told = len(self._outputs.tokens)
        mark_poisoned(step, result)
        tell_prompt_logprobs(step, result, self._outputs)
        self._commit_runs(step, now)
        self._commit_samples(step, result, now)
        self._settle()
        self.estimate.relax()
        self.budget.observe(step.work, result.elapsed_s)
        if self._events.active:
            tokens = self._outputs.tokens[num_told:]
            self._events.emit(ev.Committed(plan.step_id, tokens, result.elapsed_s))

    def _commit_runs(self, step: Step, now: float) -> None:
        plan = step.plan
        for run in range(count_decodes(step), len(plan.run_rows)):
            self._commit_chunk(step.sequences[run], plan.run_lengths[run], now)
        if self.cache.has_windows:
            leave_windows(step, self.cache, after_step=self._newest_open)

    def _commit_chunk(self, sequence: Sequence, length: int, now: float) -> None:
        """A piece of a prompt is written: others may use it from now on."""
        sequence.num_computed += length
        if sequence.state is not SequenceState.RUNNING:
            return
        if sequence.is_poisoned:
            self._finish(sequence, FinishReason.ERROR, now, message=NOT_A_NUMBER)
            return
        self.batch.insert_written(sequence, after_step=self._newest_open)
        was_prompt = sequence.num_computed - length < sequence.num_prompt_tokens
        if not was_prompt or sequence.num_computed < sequence.num_prompt_tokens:
            return
        self.prefixes.stop(sequence)
        if sequence.request.pin_prefix:
            prompt = sequence.key_ids[: sequence.num_prompt_tokens]
            self.cache.pin(sequence.namespace, prompt)
        if sequence.max_total == sequence.num_prompt_tokens:
            self._finish(sequence, FinishReason.LENGTH, now)

    def _commit_samples(self, step: Step, result: StepResult, now: float) -> None:
        outputs, newest_open = self._outputs, self._newest_open
        tokens, step_id = outputs.tokens, step.plan.step_id
        is_plain = not (result.invalid or result.logprobs or result.stops or result.accepted)
        for entry, run in enumerate(step.plan.sample_runs):
            sequence = step.sequences[run]
            if sequence.void_until >= step_id:
                continue  # drawn after a token that did not stand
            sequence.num_pending -= 1
            if sequence.finished:
                continue  # the surplus token of a request that ended
            if not is_plain and entry in result.invalid:
                self._finish(sequence, FinishReason.ERROR, now, message=NOT_A_NUMBER)
                continue
            if is_plain:
                token = result.token_ids[entry]
                sequence.append_token(token)
                tokens.append((sequence.request_id, token))
            else:
                token = take_judged(sequence, entry, result, outputs, newest_open=newest_open)
                if entry in result.accepted:
                    self.batch.renew(sequence)
            if sequence.timings.first_token_s is None:
                sequence.timings.first_token_s = now
            stop = None if is_plain else result.stops.get(entry)
            if stop is not None and (stop.is_final or token not in sequence.stop_ids):
                self._finish(sequence, stop.reason, now, matched=stop.matched)
            elif token in sequence.stop_ids:
                self._finish(sequence, FinishReason.STOP, now, matched=token)
            elif sequence.num_tokens >= sequence.max_total:
                self._finish(sequence, FinishReason.LENGTH, now)

    # -- into the queue, out of the batch ----------------------------------------------------------

    @property
    def _newest_open(self) -> int | None:
        return self.open_steps[-1].plan.step_id if self.open_steps else None

    def _enqueue(self, sequence: Sequence) -> None:
        sequence.state = SequenceState.WAITING
        sequence.num_computed = sequence.num_scheduled = 0
        if sequence.can_share:
            sequence.extend_page_hashes(self.cache.page_size)
            match = self.cache.match(
                sequence.namespace, sequence.key_ids, sequence.max_match_tokens
            )
            self.prefixes.watch(sequence, match.num_tokens // self.cache.page_size)
        self.queue.add(sequence)

    def _settle(self) -> None:
        """Give freed rows and pages back; retracted sequences wait again."""
        for sequence in self.batch.settle(self._last_committed):
            if sequence.finished:
                self._intake.forget(sequence)
            else:
                self._enqueue(sequence)

    def _end(self, request_id: str, reason: FinishReason, now: float, message: str) -> bool:
        sequence = self.live.get(request_id)
        if sequence is None:
            return False
        self._finish(sequence, reason, now, message=message)
        self._settle()
        return True

    def _finish(
        self,
        sequence: Sequence,
        reason: FinishReason,
        now: float,
        *,
        matched: int | str | None = None,
        message: str | None = None,
    ) -> None:
        """The one door out: exactly one terminal event per request."""
        assert not sequence.finished, f"{sequence.request_id} finished twice"
        sequence.finished = True
        del self.live[sequence.request_id]
        sequence.timings.finished_s = now
        if sequence.state is SequenceState.RUNNING:
            self.batch.leave(sequence)
        elif sequence.state is SequenceState.WAITING:
            sequence.state = SequenceState.SETTLED
            self.prefixes.unwatch(sequence)
            self.queue.drop_departed()
            self._intake.forget(sequence)
        finish = sequence.to_finish(reason, matched, message)
        self._outputs.finished.append(finish)
        if self._events.active:
            self._events.emit(ev.Finished.of(finish))
