"""Looks at the workers' /health, in turn and for ever: who is up is decided here.

answers 200                          up
answers something else, or nothing   a failed look; after several it takes no calls
no connection, no answer, several times   it is lost: its open calls are told

A look says who looks (``LOOKER_HEADER``): a router that is named as its own worker is never up, or
its calls would go round in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets

from sglite.config_parallel import RouterOptions
from sglite.router_server.worker_client import WorkerCall, WorkerClient, WorkerLostError
from sglite.router_server.workers import Worker, Workers

PATH = "/health"
LOOKER_HEADER = "x-sglite-router"
BACK_OFF_STEP = 0.25
MAX_BACK_OFF = 8.0


class HealthWatch:
    """A task per worker. ``looker`` is what no other router calls itself."""

    def __init__(self, workers: Workers, client: WorkerClient, options: RouterOptions) -> None:
        self._workers = workers
        self._client = client
        self._options = options
        self.looker = secrets.token_hex(8)
        self._tasks: dict[Worker, asyncio.Task[None]] = {}

    def watch(self, worker: Worker) -> None:
        """Look after a worker until it leaves."""
        if worker not in self._tasks:
            task = asyncio.ensure_future(self._watch(worker))
            self._tasks[worker] = task
            task.add_done_callback(lambda _: self._tasks.pop(worker, None))

    async def stop(self) -> None:
        """Look at nothing any more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def look(self, worker: Worker) -> None:
        """Look once, and tell the workers what was seen."""
        call = WorkerCall("GET", PATH, [(LOOKER_HEADER.encode(), self.looker.encode())])
        lost: WorkerLostError | None = None
        is_healthy = False
        try:
            answer = await self._client.ask(
                worker.url, call, timeout_s=self._options.health_timeout_s
            )
            is_healthy = answer.status == 200
        except WorkerLostError as error:
            lost = error
        if worker.state == "leaving":
            return
        if is_healthy:
            self._workers.mark_up(worker)
            return
        worker.num_failures += 1
        if worker.num_failures < self._options.health_failures:
            return
        if lost is None:
            self._workers.mark_down(worker)
        else:
            self._workers.mark_lost(worker, lost)

    def pause_s(self, worker: Worker) -> float:
        """How long until the next look: longer, the longer it has been down."""
        if worker.state == "up":
            return self._options.health_interval_s
        excess = max(0, worker.num_failures - self._options.health_failures)
        return self._options.health_interval_s * min(1 + BACK_OFF_STEP * excess, MAX_BACK_OFF)

    async def _watch(self, worker: Worker) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while worker.state != "leaving":
                await self.look(worker)
                await asyncio.sleep(self.pause_s(worker))
