"""The workers: which there are, how they are, and which call is where.

      add ──▶ down ──answers /health──▶ up ──cannot be reached, fails its looks──▶ down
                                        │
                                     remove ──▶ leaving ──its last call has ended──▶ gone

What routes is :class:`sglite.router.router.Router`; here are its engines' addresses, and the calls
that wait for it. One event loop, no locks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from sglite.config_parallel import RoutingOptions
from sglite.errors import NotReadyError, RequestError
from sglite.observability.logging import log_event
from sglite.router.policies import EngineLoad, RoutedRequest
from sglite.router.router import Router
from sglite.router.waiting_line import WaitingLine

MAX_WORKERS = 1024

logger = logging.getLogger(__name__)

WorkerState = Literal["up", "down", "leaving"]
Clock = Callable[[], float]


class OpenCall(Protocol):
    """A call that a worker has."""

    def cut(self, reason: Exception) -> None:
        """End it with this reason."""


@dataclass(slots=True, eq=False)
class Worker:
    """One server. ``number`` is its engine's in the router, ``url`` has no slash at its end."""

    url: str
    number: int
    state: WorkerState = "down"
    num_failures: int = 0
    open_calls: set[OpenCall] = field(default_factory=set)


class Workers:
    """All workers, and the line of calls that wait for one. ``max_waiting`` may stand in it.

    ``on_decision`` is told how many seconds each choice took, on the same ``clock``.
    """

    def __init__(
        self,
        options: RoutingOptions,
        *,
        max_waiting: int,
        clock: Clock,
        on_decision: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._router = Router(options, 0, has_digests=False)
        self._on_decision = on_decision
        self._line = WaitingLine(self._router, max_waiting)
        self._clock = clock
        self._by_number: dict[int, Worker] = {}
        self._waiting: dict[str, asyncio.Future[Worker]] = {}

    # -- queries -----------------------------------------------------------------------------------

    @property
    def all(self) -> list[Worker]:
        """Every worker, also those that are down or about to leave."""
        return list(self._by_number.values())

    @property
    def up(self) -> list[Worker]:
        """Those that take calls."""
        return [worker for worker in self._by_number.values() if worker.state == "up"]

    @property
    def num_waiting(self) -> int:
        """Calls that wait in line."""
        return len(self._line)

    def loads(self) -> dict[int, EngineLoad]:
        """How busy the workers are with our calls, by number."""
        return {load.engine: load for load in self._router.loads()}

    def find(self, url: str) -> Worker | None:
        """The worker at this address, unless it is about to leave."""
        matches = (each for each in self.all if each.url == url and each.state != "leaving")
        return next(matches, None)

    # -- calls -------------------------------------------------------------------------------------

    async def place(
        self, request: RoutedRequest, *, without: Iterable[Worker] = ()
    ) -> Worker | None:
        """The worker that the call goes to, where it counts as open until :meth:`release`.

        Waits in line where limits are reached. None where only those ``without`` are up. Raises
        NotReadyError where none is up, CapacityError where the line is full.
        """
        if not self.up:
            raise no_worker()
        tried = [worker for worker in without if worker.state == "up"]
        if len(tried) == len(self.up):
            return None
        number = self._enter(request, tried)
        if number is not None:
            return self._by_number[number]
        return await self._wait(request.request_id)

    def release(self, request_id: str) -> None:
        """A call has ended, however; those whose turn it is now go on."""
        now = self._clock()
        number = self._router.engine_of(request_id)
        self._router.finished(request_id, now)
        if number is not None:
            self._forget_if_left(self._by_number[number])
        self._call_up()

    def _enter(self, request: RoutedRequest, tried: list[Worker]) -> int | None:
        """Stand in line, or rather go at once; for this moment nobody goes to those ``tried``."""
        for worker in tried:
            self._router.drain(worker.number)
        now = self._clock()
        try:
            return self._line.enter(request, now)
        finally:
            self._on_decision(self._clock() - now)
            for worker in tried:
                self._router.put_back(worker.number)

    async def _wait(self, request_id: str) -> Worker:
        turn: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = turn
        try:
            return await turn
        except BaseException:
            if not self._line.give_up(request_id):
                self.release(request_id)  # its turn had just come
            raise
        finally:
            self._waiting.pop(request_id, None)

    def _call_up(self) -> None:
        for request_id, number in self._line.leave(self._clock()):
            turn = self._waiting.get(request_id)
            if turn is not None and not turn.done():
                turn.set_result(self._by_number[number])

    # -- workers -----------------------------------------------------------------------------------

    def add(self, url: str) -> Worker:
        """A worker more; down until it is seen to be healthy. The one that is there already."""
        known = self.find(url)
        if known is not None:
            return known
        if len(self._by_number) >= MAX_WORKERS:
            raise RequestError(f"there are {MAX_WORKERS:,} workers, the most that may", param="url")
        worker = Worker(url, self._router.add_engine(is_up=False))
        self._by_number[worker.number] = worker
        return worker

    def remove(self, worker: Worker) -> None:
        """It gets nothing new, and is forgotten when its last call has ended."""
        worker.state = "leaving"
        self._router.drain(worker.number)
        self._forget_if_left(worker)
        self._fail_waiting_if_none()

    def mark_up(self, worker: Worker) -> None:
        """It has answered; it takes calls (again)."""
        worker.num_failures = 0
        if worker.state == "down":
            worker.state = "up"
            log_event(logger, logging.WARNING, "worker_up", url=worker.url)
            self._router.put_back(worker.number)
            self._call_up()

    def mark_down(self, worker: Worker) -> None:
        """It takes nothing new now; what it has goes on."""
        if worker.state == "up":
            worker.state = "down"
            log_event(logger, logging.WARNING, "worker_down", url=worker.url)
            self._router.drain(worker.number)
            self._fail_waiting_if_none()

    def mark_lost(self, worker: Worker, reason: Exception) -> None:
        """It is gone, and its cache with it: its calls go elsewhere, or end with this reason."""
        self.mark_down(worker)
        if self._by_number.get(worker.number) is worker:
            self._router.take_out(worker.number)
            self._forget_if_left(worker)
        for call in list(worker.open_calls):
            call.cut(reason)

    def _forget_if_left(self, worker: Worker) -> None:
        is_empty = not self.loads()[worker.number].num_requests
        if is_empty and worker.state == "leaving":
            self._router.remove_engine(worker.number)
            del self._by_number[worker.number]

    def fail_waiting(self, error: Exception) -> None:
        """End the wait of all that stand in line."""
        for turn in list(self._waiting.values()):
            if not turn.done():
                turn.set_exception(error)

    def _fail_waiting_if_none(self) -> None:
        """Nobody waits for workers that may never come."""
        if not self.up:
            self.fail_waiting(no_worker())


def no_worker() -> NotReadyError:
    """What a call gets while no worker is up."""
    return NotReadyError("no worker is up now; try again later", retry_after_s=2.0)
