"""Engines of a fleet that do what a test says, and their launchers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sglite.config_parallel import RoutingOptions
from sglite.errors import EngineDeadError
from sglite.ipc.fleet_client import FleetClient
from sglite.ipc.messages import PROTOCOL_VERSION, Digest, Heartbeat, Note, Ready
from sglite.ipc.receivers import Receiver, Receivers
from sglite.request import FinishReason, OutputBatch, Request, RequestFinish, RequestTimings
from sglite.router.router import Router


def ready(context_length: int = 1000, pool_tokens: int = 5000) -> Ready:
    return Ready(
        protocol_version=PROTOCOL_VERSION,
        pid=1,
        config={"page_size": 2, "dp_size": 1},
        context_length=context_length,
        pool_tokens=pool_tokens,
        vocab_size=97,
        model_context_length=1000,
        eos_token_ids=[0],
        startup_s=1.0,
    )


class FakeClient:
    """The client of an engine without an engine: nothing happens unless the test says so."""

    heals = False
    waiting_count = 0

    def __init__(self, *, is_ready: bool = True, **limits: int) -> None:
        self.ready: Ready | None = ready(**limits) if is_ready else None
        self.heartbeat: Heartbeat | None = None
        self.heartbeat_age_s = 0.5
        self.died: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.on_note: Callable[[Note], None] | None = None
        self.on_digest: Callable[[Digest], None] | None = None
        self.on_join: list[Callable[[int], None]] = []
        self.requests: dict[str, Request] = {}
        self.aborted: list[str] = []
        self.notes: list[Note] = []
        self.controlled: list[tuple[str, dict[str, Any]]] = []
        self.controls: dict[str, Any] = {"stats": {}}
        self._receivers = Receivers(self.abort)

    @property
    def is_alive(self) -> bool:
        return not self.died.done()

    @property
    def open_count(self) -> int:
        return len(self._receivers)

    @property
    def engines(self) -> dict[int, FakeClient]:
        return {0: self}

    def on_death(self, callback: Callable[[str], None]) -> None:
        self.died.add_done_callback(lambda died: callback(died.result()))

    async def wait_ready(self) -> Ready:
        assert self.ready is not None
        return self.ready

    def submit(self, requests: list[Request], receiver: Receiver) -> None:
        if self.died.done():
            raise EngineDeadError(self.died.result())
        self.requests.update({request.request_id: request for request in requests})
        self._receivers.add([request.request_id for request in requests], receiver)

    def abort(self, request_ids: list[str]) -> None:
        self.aborted += request_ids

    async def control(self, name: str, **arguments: Any) -> Any:
        self.controlled.append((name, arguments))
        await asyncio.sleep(0)
        answer = self.controls.get(name)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def send_note(self, note: Note) -> None:
        self.notes.append(note)

    # -- what tests say ----------------------------------------------------------------------------

    def begin(self, *request_ids: str) -> None:
        """The first sign of requests."""
        self._receivers.deliver(OutputBatch(started=[(each, 0) for each in request_ids]))

    def token(self, request_id: str, token: int) -> None:
        self._receivers.deliver(OutputBatch(tokens=[(request_id, token)]))

    def end(self, *request_ids: str, reason: FinishReason = FinishReason.LENGTH) -> None:
        self._receivers.deliver(
            OutputBatch(finished=[_finish(each, reason) for each in request_ids])
        )

    def refuse(self, request_id: str, error: Exception) -> None:
        self._receivers.refuse(request_id, error)

    def die(self, reason: str = "killed") -> None:
        """As ``ProcessClient.declare_dead`` does."""
        self.died.set_result(reason)
        self._receivers.fail(EngineDeadError(reason))


def _finish(request_id: str, reason: FinishReason) -> RequestFinish:
    return RequestFinish(
        request_id=request_id,
        reason=reason,
        num_prompt_tokens=2,
        num_output_tokens=1,
        num_cached_tokens=0,
        num_retractions=0,
        max_new_tokens=1,
        timings=RequestTimings(arrival_s=1000.0, admitted_s=1000.5, finished_s=1001.0),
    )


class FakeLauncher:
    """Starts a :class:`FakeClient`; ``fault`` is raised instead where there is one."""

    def __init__(self, number: int, fault: Exception | None = None) -> None:
        self.number = number
        self.fault = fault
        self.exit_code: int | None = None
        self.client: FakeClient | None = None
        self.is_stopped = False

    @property
    def path(self) -> str | None:
        return None if self.client is None or self.is_stopped else f"/engine/{self.number}"

    async def start(self) -> FakeClient:
        self.client = FakeClient()
        return self.client

    async def wait_ready(self, timeout_s: float | None = None) -> Ready:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        assert self.client is not None and self.client.ready is not None
        return self.client.ready

    async def stop(self, grace_s: float) -> int | None:
        self.is_stopped = True
        if self.client is not None and self.client.is_alive:
            self.client.die("the engine was stopped")
        self.exit_code = 0
        return 0


def fleet_client(
    *,
    max_waiting: int = 100,
    timeout_s: float | None = None,
    has_peers: bool = False,
    **options: Any,
) -> FleetClient:
    """A client without engines; ``options`` are those of routing."""
    router = Router(RoutingOptions(**{"routing_policy": "round_robin", **options}), 0)
    return FleetClient(
        router, max_waiting=max_waiting, num_engines=2, timeout_s=timeout_s, has_peers=has_peers
    )


async def join(fleet: FleetClient, number: int, engine: FakeClient) -> bool:
    """What whoever starts an engine does."""
    fleet.expect(number, engine)
    return await fleet.join(number, engine)


async def joined(num_engines: int = 2, **options: Any) -> tuple[Any, list[FakeClient]]:
    """A fleet of ready engines."""
    fleet, engines = fleet_client(**options), [FakeClient() for _ in range(num_engines)]
    for number, engine in enumerate(engines):
        await join(fleet, number, engine)
    return fleet, engines
