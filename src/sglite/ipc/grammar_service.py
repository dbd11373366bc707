"""Grammars made ready for an engine, away from its thread (R13).

    prepare(spec, done) ─▶ cache ─▶ queue ─▶ a worker: vetted in its process ─▶ compiled here
                             └──────────▶ done(outcome) ◀──────────────────────────────┘

A grammar is compiled here only after a process that may be ended has done the same: what hangs,
crashes or eats memory does so there. Each worker is a thread with such a process, both started when
the grammars that wait ask for them. Whoever asked is answered within PATIENCE_S, come what may: a
little later while one grammar after the other is done, or while the first process starts.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sglite.errors import CapacityError, RequestError, SgliteError
from sglite.grammar.backend import CompiledGrammar
from sglite.ipc.grammar_cache import GrammarCache
from sglite.ipc.grammar_helper import MODULE, GrammarHelper, HelperDiedError, HelperLateError
from sglite.ipc.grammar_messages import Vetted
from sglite.ipc.grammar_tools import GrammarTools
from sglite.observability.logging import log_event
from sglite.request import GrammarSpec

if TYPE_CHECKING:
    from sglite.grammar.closing import EndFinder

logger = logging.getLogger(__name__)

MAX_WORKERS = 2
LIMIT_S = 3.0
"""How long one grammar may take."""
PATIENCE_S = 4.5
"""How long somebody waits for a grammar, with those before it."""
START_PATIENCE_S = 20.0
"""How much longer while the first process starts: a vocabulary of 150,000 tokens takes seconds."""
LATE_S = 30.0
"""How long one that took too long is refused at once: it may have been the machine's fault."""
MOVING_S = 1.0
"""While a grammar was done so lately, those that wait do not wait in vain."""
LONGEST_S = 20.0
"""How long somebody waits at most while they are."""
RETRY_AFTER_S = 2.0
MAX_QUEUED = 256
MAX_CACHE_BYTES = 64 << 20
TOKEN_BYTES = 40
"""A token id in a tuple."""


@dataclass(frozen=True, slots=True)
class PreparedGrammar:
    """A grammar that is ready. ``shortest_end`` are the tokens of its shortest known text."""

    compiled: CompiledGrammar
    shortest_end: tuple[int, ...]
    ends: EndFinder


class _Refusal(NamedTuple):
    """What a RequestError is made of. ``until_s``: when it is to be tried again; None: never."""

    message: str
    param: str | None
    until_s: float | None = None

    @property
    def is_over(self) -> bool:
        """True where another try may end otherwise."""
        return self.until_s is not None and time.monotonic() >= self.until_s


_Result = PreparedGrammar | _Refusal | None
"""None where no process could do the work; that is not remembered."""
Outcome = PreparedGrammar | SgliteError
"""RequestError where the grammar is refused, CapacityError where there is no time for it now."""
Done = Callable[[Outcome], None]
"""Takes the outcome, in any thread, even before ``prepare`` returns. Must not block or raise."""


@dataclass(slots=True)
class _Job:
    """A grammar on its way; ``waiters`` by number."""

    spec: GrammarSpec
    waiters: dict[int, Done] = field(default_factory=dict)
    is_begun: bool = False


class GrammarService:
    """Prepares grammars with ``tools``. Methods may be called from any thread; none waits."""

    def __init__(
        self,
        tools: GrammarTools,
        *,
        module: str = MODULE,
        limit_s: float = LIMIT_S,
        patience_s: float = PATIENCE_S,
        max_cache_bytes: int = MAX_CACHE_BYTES,
    ) -> None:
        self._tools = tools
        self._module = module
        self._limit_s = limit_s
        self._patience_s = patience_s
        # All that follows is guarded by this.
        self._news = threading.Condition()
        self._cache: GrammarCache[PreparedGrammar | _Refusal] = GrammarCache(max_cache_bytes)
        self._jobs: dict[GrammarSpec, _Job] = {}
        self._queue: deque[_Job] = deque()
        self._deadlines: list[tuple[float, int, _Job, float]] = []
        self._last_done_s = -MOVING_S
        self._has_started = False
        self._num_waiters = 0
        self._num_idle = 0
        self._helpers: list[GrammarHelper] = []
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    def prepare(self, spec: GrammarSpec, done: Done) -> None:
        """Call ``done`` once, with the outcome; not at all once the service was closed."""
        with self._news:
            known = self._cache.get(spec)
            if isinstance(known, _Refusal) and known.is_over:
                known = None
            is_told_later = known is None and self._try_enqueue(spec, done)
        if not is_told_later:
            done(_outcome(known))

    @property
    def helper_pids(self) -> list[int]:
        """The processes that run now."""
        return [helper.pid for helper in list(self._helpers) if helper.pid is not None]

    @property
    def num_cached_bytes(self) -> int:
        """What the known grammars hold, by their own estimates."""
        return self._cache.num_bytes

    def close(self) -> None:
        """End all processes and threads; nobody who waits is told. Safe to repeat."""
        with self._news:
            self._is_closed = True
            self._news.notify_all()
        for helper in self._helpers:
            helper.close()
        for thread in self._threads:
            thread.join()

    # -- called with the lock held -----------------------------------------------------------------

    def _try_enqueue(self, spec: GrammarSpec, done: Done) -> bool:
        """Let ``done`` wait for a grammar; False where too many wait."""
        if self._is_closed:
            return True
        job = self._jobs.get(spec)
        if job is None:
            if len(self._queue) >= MAX_QUEUED:
                return False
            job = self._jobs[spec] = _Job(spec)
            self._queue.append(job)
            self._add_threads()
        self._num_waiters += 1
        job.waiters[self._num_waiters] = done
        patience_s = self._patience_s + (0.0 if self._has_started else START_PATIENCE_S)
        deadline_s = time.monotonic() + patience_s
        latest_s = max(deadline_s, time.monotonic() + LONGEST_S)
        heapq.heappush(self._deadlines, (deadline_s, self._num_waiters, job, latest_s))
        self._news.notify_all()
        return True

    def _add_threads(self) -> None:
        """A worker where none is idle, as long as there may be more."""
        if self._num_idle >= len(self._queue) or len(self._helpers) >= MAX_WORKERS:
            return
        helper = GrammarHelper(module=self._module)
        targets: list[Callable[[], None]] = [lambda: self._work(helper)]
        if not self._helpers:
            targets.append(self._watch_deadlines)
        self._helpers.append(helper)
        for target in targets:
            thread = threading.Thread(target=target, name="grammars", daemon=True)
            self._threads.append(thread)
            thread.start()

    # -- the thread that lets nobody wait for too long ---------------------------------------------

    def _watch_deadlines(self) -> None:
        while (done := self._next_impatient()) is not None:
            done(_busy())

    def _next_impatient(self) -> Done | None:
        """Wait for somebody who has waited for too long; None once closed."""
        with self._news:
            while not self._is_closed:
                left_s = self._deadlines[0][0] - time.monotonic() if self._deadlines else None
                if left_s is None or left_s > 0:
                    self._news.wait(left_s)
                    continue
                due_s, number, job, latest_s = heapq.heappop(self._deadlines)
                is_moving = time.monotonic() - self._last_done_s < MOVING_S
                if number in job.waiters and is_moving and due_s < latest_s:
                    due_s = min(due_s + MOVING_S, latest_s)
                    heapq.heappush(self._deadlines, (due_s, number, job, latest_s))
                    continue
                done = job.waiters.pop(number, None)
                if done is None:
                    continue  # it was told long ago
                if not job.waiters and not job.is_begun:
                    self._queue.remove(job)
                    del self._jobs[job.spec]
                return done
        return None

    # -- a worker's thread -------------------------------------------------------------------------

    def _work(self, helper: GrammarHelper) -> None:
        while (job := self._next_job()) is not None:
            result = self._try_prepare(job.spec, helper)
            with self._news:
                del self._jobs[job.spec]
                waiters = [] if self._is_closed else list(job.waiters.values())
                job.waiters.clear()
                if isinstance(result, PreparedGrammar):
                    self._last_done_s = time.monotonic()
                if result is not None:
                    self._cache.put(job.spec, result, _num_bytes(result))
            for done in waiters:
                done(_outcome(result))
            self._replace(helper)
        helper.end()

    def _replace(self, helper: GrammarHelper) -> None:
        """Where its process was lost, a worker takes nothing on until there is another."""
        try:
            helper.start(self._tools.setup())
            helper.wait_until_ready()
        except Exception as error:  # whoever asks next is told; a worker goes on
            logger.debug("grammar_process_not_replaced", exc_info=error)

    def _next_job(self) -> _Job | None:
        """Wait for something to do; None once closed."""
        with self._news:
            self._num_idle += 1
            self._news.wait_for(lambda: self._queue or self._is_closed)
            self._num_idle -= 1
            if self._is_closed:
                return None
            job = self._queue.popleft()
            job.is_begun = True
            return job

    def _try_prepare(self, spec: GrammarSpec, helper: GrammarHelper) -> _Result:
        """Vet and compile; whatever comes of it is the result."""
        try:
            return self._prepare(spec, helper)
        except HelperLateError:
            log_event(logger, logging.WARNING, "grammar_too_slow", kind=spec.kind)
            reason = f"{spec.kind} takes longer than {self._limit_s:g} s to compile; simplify it"
            return _Refusal(reason, spec.kind, time.monotonic() + LATE_S)
        except HelperDiedError as error:
            log_event(logger, logging.WARNING, "grammar_crashed", exit_code=error.exit_code)
            if error.was_killed:
                return None
            reason = "needs too much memory, or crashes the library that compiles it"
        except OSError as error:
            log_event(logger, logging.ERROR, "grammar_process_failed", cause=str(error))
            return None
        except Exception as error:  # a border: one grammar must not end the others
            logger.error("grammar_failed", exc_info=error)  # its text goes to nobody else
            reason = "cannot be compiled, by a fault of ours"
        return _Refusal(f"{spec.kind} {reason}; simplify it", spec.kind)

    def _prepare(self, spec: GrammarSpec, helper: GrammarHelper) -> _Result:
        vetted = self._vet(spec, helper)
        if vetted.fault is not None:
            raise RuntimeError(vetted.fault)
        if vetted.error is not None:
            return _Refusal(vetted.error, vetted.param)
        try:
            compiled = self._tools.backend().compile(spec)
        except RequestError as error:
            return _Refusal(str(error), error.param)
        return PreparedGrammar(compiled, vetted.shortest_end, self._tools.ends())

    def _vet(self, spec: GrammarSpec, helper: GrammarHelper) -> Vetted:
        """Once more where somebody else killed the process: that is no fault of the grammar."""
        helper.start(self._tools.setup())
        self._tools.backend()  # made while the process makes its own
        helper.wait_until_ready()
        self._note_start()
        try:
            return helper.vet(spec, limit_s=self._limit_s)
        except HelperDiedError as error:
            if not error.was_killed or self._is_closed:
                raise
        helper.start(self._tools.setup())
        return helper.vet(spec, limit_s=self._limit_s)

    def _note_start(self) -> None:
        """A process is ready: whoever waits since before has the usual patience from now on."""
        with self._news:
            if self._has_started:
                return
            self._has_started = True
            usual_s = time.monotonic() + self._patience_s
            self._deadlines = [
                (min(due_s, usual_s), number, job, latest_s)
                for due_s, number, job, latest_s in self._deadlines
            ]
            heapq.heapify(self._deadlines)
            self._news.notify_all()


def _busy() -> CapacityError:
    return CapacityError(
        "there was no time to compile this grammar; try again in a moment",
        retry_after_s=RETRY_AFTER_S,
    )


def _outcome(result: _Result) -> Outcome:
    """What one of those who wait is told; each gets an error of its own to raise."""
    if isinstance(result, _Refusal):
        return RequestError(result.message, param=result.param)
    return _busy() if result is None else result


def _num_bytes(result: PreparedGrammar | _Refusal) -> int:
    if isinstance(result, _Refusal):
        return 4 * len(result.message)
    return result.compiled.num_bytes + TOKEN_BYTES * len(result.shortest_end)
