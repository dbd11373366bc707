"""The engine as its callers see it, and the implementation inside the caller's process.

    caller's threads ──submit, abort, call──▶ inbox ──▶ engine thread ──OutputBatch──▶ deliver()

One thread owns the engine; everything else goes through its inbox. If that thread fails, every
open request hears of it once, and later calls raise EngineDeadError. A request with a grammar is
open from the start, but enters the engine only when its grammar is ready; nobody waits with it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from sglite.errors import CapacityError, EngineDeadError, SgliteError
from sglite.ipc.grammar_service import Outcome
from sglite.ipc.held_outputs import HeldOutputs
from sglite.ipc.request_grammars import RequestGrammars
from sglite.ipc.splitting import split_outputs
from sglite.lanes.laned_engine import AnyEngine
from sglite.request import FinishReason, OutputBatch, Request, RequestFinish, RequestTimings

logger = logging.getLogger(__name__)

IDLE_TURN_S = 0.5
"""How often the loop turns when there is nothing to do: it shows that it lives, and a paused engine
looks at its deadlines."""

T = TypeVar("T")
Deliver = Callable[[OutputBatch], None]
"""Takes outputs of one caller's requests. Called in the engine's thread: must not block."""
Refuse = Callable[[str | None, Exception], None]
"""Takes a request id and the reason why it was not accepted; None: the engine is dead."""


class EngineLoad(NamedTuple):
    """How busy an engine is; ``num_waiting_tokens`` counts the prompts of those that wait.

    ``num_tokens``: of all requests that live, prompts and the outputs that they may have.
    """

    num_running: int
    num_waiting: int
    num_waiting_tokens: int
    num_tokens: int


class EngineClient(Protocol):
    """What a front needs of an engine."""

    def submit(self, requests: list[Request], deliver: Deliver, refuse: Refuse) -> None:
        """Queue requests. Each ends in one terminal event, given to one of the two callables."""

    def abort(self, request_ids: list[str]) -> None:
        """End these requests; unknown ids are ignored."""

    def call(self, function: Callable[[AnyEngine], T]) -> T:
        """Run ``function`` between two steps and return its result."""

    def close(self) -> None:
        """Abort what is open and stop the engine."""


class _Caller(NamedTuple):
    """Who gets what comes of a request, and how many tokens that request may have in the end."""

    deliver: Deliver
    refuse: Refuse
    num_tokens: int


class _Waiting(NamedTuple):
    """A request whose grammar is not ready; ``arrival_s`` is on the engine's clock."""

    request: Request
    arrival_s: float


class InProcessClient:
    """Runs the engine in a thread of this process, with the ``grammars`` of its requests."""

    def __init__(self, engine: AnyEngine, grammars: RequestGrammars | None = None) -> None:
        self._engine = engine
        if grammars is None:  # an empty one is none of them
            grammars = RequestGrammars(None, why_none="this engine has no grammars")
        self._grammars = grammars
        self._waiting: dict[str, _Waiting] = {}
        self._inbox: deque[Callable[[], None]] = deque()
        self._wake = threading.Condition()
        self._callers: dict[str, _Caller] = {}
        self._num_tokens = 0
        self._held = HeldOutputs()
        self._closing = False
        self._fault: BaseException | None = None
        self._last_turn_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(self, requests: list[Request], deliver: Deliver, refuse: Refuse) -> None:
        """See :class:`EngineClient`. Raises EngineDeadError."""
        self._post(lambda: self._add(requests, deliver, refuse))

    def abort(self, request_ids: list[str]) -> None:
        """See :class:`EngineClient`."""
        with self._wake:
            if not self._has_stopped:
                self._inbox.append(lambda: self._abort(request_ids))
                self._wake.notify()

    def call(self, function: Callable[[AnyEngine], T]) -> T:
        """See :class:`EngineClient`. Raises what ``function`` raises, or EngineDeadError."""
        future = self.begin_call(function)
        while not wait([future], timeout=1.0).done:
            if not self._thread.is_alive() and not future.done():
                raise self._dead() from self._fault
        return future.result()

    def begin_call(self, function: Callable[[AnyEngine], T]) -> Future[T]:
        """Like :meth:`call`, without waiting. Callbacks of the future run in the engine's thread,
        where they must not block. Raises EngineDeadError.
        """
        future: Future[T] = Future()
        self._post(lambda: self._settle(future, function))
        return future

    @property
    def load(self) -> EngineLoad:
        """How busy the engine is, as seen from any thread at any moment."""
        schedulers = self._engine.schedulers
        return EngineLoad(
            sum(len(scheduler.batch.running) for scheduler in schedulers),
            sum(len(scheduler.queue) for scheduler in schedulers),
            sum(scheduler.queue.num_tokens for scheduler in schedulers),
            self._num_tokens,
        )

    @property
    def loop_age_s(self) -> float:
        """Seconds since the engine's loop last turned; idle, it turns every IDLE_TURN_S."""
        return time.monotonic() - self._last_turn_s

    def wait_until_stopped(self) -> BaseException | None:
        """Wait for the engine's end; the fault that ended it, None where it was closed."""
        self._thread.join()
        return self._fault

    def fail(self, fault: Exception) -> None:
        """End the engine as failed by ``fault``. From any thread, without waiting."""

        def raise_it() -> None:
            if self._fault is None:  # else a step has met it too, and callers are being told
                raise fault

        with contextlib.suppress(EngineDeadError):
            self._post(raise_it)

    def close(self) -> None:
        """See :class:`EngineClient`. Safe to call twice."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not threading.current_thread():
            self._thread.join()

    # -- the caller's side -------------------------------------------------------------------------

    def _post(self, command: Callable[[], None]) -> None:
        with self._wake:
            if self._has_stopped:
                raise self._dead() from self._fault
            self._inbox.append(command)
            self._wake.notify()

    @property
    def _has_stopped(self) -> bool:
        return self._fault is not None or self._closing

    def _dead(self) -> EngineDeadError:
        cause = f": {self._fault}" if self._fault else " because it was closed"
        return EngineDeadError(f"the engine has stopped{cause}")

    # -- the engine's thread -----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                self._read_inbox()
                if self._engine.has_work:
                    self._dispatch(self._engine.step())
            self._stop()
        except BaseException as fault:
            if threading.main_thread().is_alive():  # else the interpreter ends: nobody is left
                logger.critical("engine_failed", exc_info=fault)
            self._fail(fault)

    def _wait_for_work(self) -> bool:
        """Sleep until there is something to do, or a moment; False once closed."""
        with self._wake:
            if not (self._inbox or self._closing or self._can_advance):
                self._wake.wait(IDLE_TURN_S)
            self._last_turn_s = time.monotonic()
            return not self._closing

    @property
    def _can_advance(self) -> bool:
        """True where a step does something now; a paused engine only ends its open steps."""
        if not self._engine.has_work:
            return False
        schedulers = self._engine.schedulers
        return any(not each.is_paused or each.num_open_steps for each in schedulers)

    def _read_inbox(self) -> None:
        while self._inbox:
            self._inbox.popleft()()

    def _add(self, requests: list[Request], deliver: Deliver, refuse: Refuse) -> None:
        if self._has_stopped:
            refuse(None, self._dead())
            return
        for request in requests:
            request_id, spec = request.request_id, request.sampling.grammar
            if request_id in self._callers:
                refuse(request_id, CapacityError(f"the request id {request_id:.80} is in use"))
                continue
            num_tokens = len(request.prompt_token_ids) + request.max_new_tokens
            self._callers[request_id] = _Caller(deliver, refuse, num_tokens)
            self._num_tokens += num_tokens
            if spec is None:
                self._enter(request)
            else:
                self._waiting[request_id] = _Waiting(request, self._engine.clock())
                self._grammars.prepare(spec, partial(self._take_outcome, request))

    def _enter(self, request: Request) -> None:
        try:
            self._engine.add(request)
        except CapacityError as error:
            self._refuse(request.request_id, error)
        else:
            self._held.expect(request)

    def _refuse(self, request_id: str, error: SgliteError) -> None:
        self._grammars.forget(request_id)
        self._take_caller(request_id).refuse(request_id, error)

    def _take_caller(self, request_id: str) -> _Caller:
        """The caller of a request that lives no more."""
        caller = self._callers.pop(request_id)
        self._num_tokens -= caller.num_tokens
        return caller

    def _take_outcome(self, request: Request, outcome: Outcome) -> None:
        """A grammar is ready, or refused. In any thread."""
        with self._wake:
            if not self._has_stopped:  # else all who were open are told of that
                self._inbox.append(lambda: self._leave_waiting(request, outcome))
                self._wake.notify()

    def _leave_waiting(self, request: Request, outcome: Outcome) -> None:
        if self._has_stopped:
            return  # it is told with all who are open, and a failed engine takes nothing
        waiting = self._waiting.get(request.request_id)
        if waiting is None or waiting.request is not request:
            return  # it was aborted meanwhile
        del self._waiting[request.request_id]
        admitted = self._grammars.admit(request, outcome)
        if isinstance(admitted, Request):
            self._enter(admitted)
        else:
            self._refuse(request.request_id, admitted)

    def _abort(self, request_ids: list[str]) -> None:
        if self._fault is not None:
            return
        for request_id in request_ids:
            waiting = self._waiting.pop(request_id, None)
            if waiting is None:
                self._engine.abort(request_id)
            else:
                deliver = self._take_caller(request_id).deliver
                deliver(OutputBatch(finished=[_aborted(waiting, self._engine.clock())]))

    def _settle(self, future: Future[Any], function: Callable[[AnyEngine], Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return  # nobody wants it any more
        if self._has_stopped:
            future.set_exception(self._dead())
            return
        try:
            future.set_result(function(self._engine))
        except Exception as error:  # noqa: BLE001  belongs to the caller, who gets it
            future.set_exception(error)

    def _dispatch(self, outputs: OutputBatch) -> None:
        """Give every caller its part, once it is time."""
        outputs = self._held.pass_on(outputs, self._last_turn_s)
        if not outputs:
            return
        for deliver, part in split_outputs(outputs, lambda name: self._callers[name].deliver):
            deliver(part)
        for finish in outputs.finished:
            self._take_caller(finish.request_id)
            self._grammars.forget(finish.request_id)

    def _stop(self) -> None:
        self._read_inbox()
        self._abort(list(self._callers))
        while self._engine.has_work:
            self._dispatch(self._engine.step())
        self._engine.close()
        self._grammars.close()

    def _fail(self, fault: BaseException) -> None:
        with self._wake:
            self._fault = fault
        self._read_inbox()
        refusals = {caller.refuse for caller in self._callers.values()}
        self._callers.clear()
        self._num_tokens = 0
        self._waiting.clear()
        for refuse in refusals:
            refuse(None, self._dead())
        self._grammars.close()
        self._engine.close()


def _aborted(waiting: _Waiting, now_s: float) -> RequestFinish:
    """The end of a request that never entered the engine."""
    request, arrival_s = waiting
    return RequestFinish(
        request_id=request.request_id,
        reason=FinishReason.ABORT,
        message="aborted by the caller",
        num_prompt_tokens=len(request.prompt_token_ids),
        num_output_tokens=0,
        num_cached_tokens=0,
        num_retractions=0,
        max_new_tokens=request.max_new_tokens,
        timings=RequestTimings(arrival_s=arrival_s, finished_s=now_s),
    )
