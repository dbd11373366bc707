"""Several engines as one: each request goes to the engine that the router names, or waits.

    submit ──▶ line of waiting prompts ──router──▶ Member 0 ── ProcessClient ── engine 0
                                                ├▶ Member 1 ── ...
                                                └▶ ...

An engine that ends is taken out: requests of which nothing has been heard go to another engine,
the others get an error. Who starts engines again is :mod:`sglite.ipc.engine_fleet`; here they join.
One per HTTP process. Nothing here, nor below, imports torch or numpy.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sglite.errors import CapacityError, EngineDeadError, NotReadyError
from sglite.ipc.engine_link import EngineLink
from sglite.ipc.fleet_control import control_all
from sglite.ipc.fleet_member import EngineClient, Member
from sglite.ipc.fleet_state import merged_heartbeat, merged_ready
from sglite.ipc.messages import Heartbeat, Note, Ready
from sglite.ipc.prompt_groups import (
    PromptGroup,
    PromptLine,
    count_waiting,
    ended_waiting,
    grouped,
)
from sglite.ipc.receivers import Receiver, Receivers
from sglite.observability.logging import log_event
from sglite.request import OutputBatch, Request
from sglite.router.router import Router

logger = logging.getLogger(__name__)

MAX_ENGINES_TRIED = 2
"""A request that saw so many engines end before a sign of it gets no other: it may be the cause."""


ANSWER_S = 2.0
"""How long engines are asked whether they pause before another one joins them."""


class FleetClient:
    """An :class:`~sglite.ipc.engine_link.EngineLink` over the engines that have joined.

    At most ``max_waiting`` requests wait in the line before more are refused. ``timeout_s`` is the
    time that a request without a deadline has, from its arrival here. ``has_peers``: other HTTP
    processes send requests to the same engines.
    """

    heals = True

    def __init__(
        self,
        router: Router,
        *,
        max_waiting: int,
        num_engines: int = 1,
        timeout_s: float | None = None,
        has_peers: bool = False,
    ) -> None:
        self.ready: Ready | None = None
        self.on_note: Callable[[Note], None] | None = None
        self.on_join: list[Callable[[int], None]] = []
        self._router = router
        self._max_waiting = max_waiting
        self._num_engines = num_engines
        self._timeout_s = timeout_s
        self._has_peers = has_peers
        self._members: dict[int, Member] = {}
        self._num_routed = 0
        self._line = PromptLine()
        self._groups: dict[str, PromptGroup] = {}
        self._receivers = Receivers(self.abort)
        self._loop = asyncio.get_running_loop()
        self._page_size = 1
        self._is_closed = False

    # -- state -------------------------------------------------------------------------------------

    @property
    def is_alive(self) -> bool:
        """True while an engine lives."""
        return bool(self._members)

    @property
    def engines(self) -> Mapping[int, EngineLink]:
        """The engines that live, by number; the one that has been there longest is first."""
        return {number: member.client for number, member in self._members.items()}

    @property
    def open_count(self) -> int:
        """Requests that have not ended."""
        return len(self._receivers)

    @property
    def waiting_count(self) -> int:
        """Of those, the ones that no engine has yet."""
        return self._line.num_requests

    @property
    def heartbeat(self) -> Heartbeat | None:
        """The engines' last signs of life as one: sums, and the age of the oldest."""
        beats = [member.client.heartbeat for member in self._members.values()]
        return merged_heartbeat(beats, num_waiting=self.waiting_count)

    @property
    def heartbeat_age_s(self) -> float:
        """That of the engine that was heard last: one that hangs is ended by its watchdog."""
        ages_s = [member.client.heartbeat_age_s for member in self._members.values()]
        return min(ages_s, default=0.0)

    # -- engines come and go -----------------------------------------------------------------------

    def expect(self, number: int, client: EngineClient) -> None:
        """An engine is about to load: what it will say of its cache is taken from the first on."""
        while number >= self._num_routed:
            self._num_routed += 1
            self._router.add_engine(is_up=False)
        client.on_digest = partial(self._router.take_digest, number)

    async def join(self, number: int, client: EngineClient) -> bool:
        """Route to an expected engine, which is ready, from now on; False where it has just ended.

        It is paused first where the others are.
        """
        if client.ready is None:
            raise NotReadyError(f"engine {number} still loads")
        try:
            if await self._is_paused():
                await client.control("pause", mode="in_place")
        except EngineDeadError:
            return False
        if not client.is_alive or self._is_closed:
            return False
        is_new = self.ready is not None
        first = self.ready or client.ready
        self.ready = merged_ready(first, client.ready, num_engines=self._num_engines)
        self._page_size = int(first.config["page_size"])
        member = Member(self, number, client)
        self._members[number] = member
        client.on_note = self._take_note
        client.on_death(lambda reason: self.lose(member, reason))
        self._router.put_back(number)
        self._route()
        for callback in self.on_join if is_new else ():
            callback(number)
        return True

    def retire(self, number: int) -> None:
        """Give an engine no more requests; what it has goes on. Unknown numbers are ignored."""
        member = self._members.get(number)
        if member is not None:
            self._router.drain(number)

    def lose(self, member: Member, reason: str) -> None:
        """An engine has gone: what it had not begun goes elsewhere, the rest fails."""
        if self._members.get(member.number) is not member:
            return
        del self._members[member.number]
        self._router.take_out(member.number)
        groups = {group.key: group for group in member.groups.values()}.values()
        lost = [name for group in groups for name in self._leave_engine(group)]
        moved = [group for group in groups if group.requests]
        self._line.put_first(moved)
        for group in moved:
            self._watch_deadline(group)
        log_event(
            logger, logging.ERROR, "engine_lost", engine=member.number, reason=reason,
            failed=len(lost), moved=sum(len(group.requests) for group in moved),
        )  # fmt: skip
        error = EngineDeadError(f"the engine of this request has ended: {reason}")
        for request_id in lost:
            self._receivers.refuse(request_id, error)
        if not self._members:
            self._refuse_waiting(self._none_lives())
        self._route()

    def close(self) -> None:
        """Fail everything that is open; nothing is taken any more. Engines are left as they are."""
        self._is_closed = True
        self._members.clear()
        self._refuse_waiting(EngineDeadError("the engines were stopped"))
        self._groups.clear()
        self._receivers.fail(EngineDeadError("the engines were stopped"))

    # -- asking ------------------------------------------------------------------------------------

    def submit(self, requests: list[Request], receiver: Receiver) -> None:
        """See :class:`~sglite.ipc.engine_link.EngineLink`."""
        self._check_alive()
        if self._line and self._line.num_requests >= self._max_waiting:
            raise CapacityError(
                f"{self._line.num_requests:,} requests wait for an engine with room, and "
                f"max_queued_requests is {self._max_waiting:,}; try again later",
                retry_after_s=1.0,
            )
        self._receivers.add([request.request_id for request in requests], receiver)
        groups = grouped(
            requests, page_size=self._page_size, now_s=time.monotonic(), timeout_s=self._timeout_s
        )
        for group in groups:
            self._groups.update(dict.fromkeys(group.requests, group))
            self._line.append(group)
            self._watch_deadline(group)
        self._route()

    def abort(self, request_ids: list[str]) -> None:
        """See :class:`~sglite.ipc.engine_link.EngineLink`."""
        placed: dict[int, list[str]] = {}
        for request_id in request_ids:
            group = self._groups.get(request_id)
            if group is None:
                continue
            if group.engine is None:
                self._end_waiting(group, request_id, "aborted by the caller")
            else:
                placed.setdefault(group.engine, []).append(request_id)
        for number, ids in placed.items():
            self._members[number].client.abort(ids)

    async def control(self, name: str, **arguments: Any) -> Any:
        """Ask all engines; see :mod:`sglite.ipc.fleet_control`."""
        self._check_alive()
        if name == "abort_all" or (name == "pause" and arguments.get("mode", "abort") == "abort"):
            self.abort([name for group in self._line for name in group.requests])
        return await control_all(self.engines, name, arguments)

    def send_note(self, note: Note) -> None:
        """Say something to every HTTP process, through the engine that has lived longest."""
        self._check_alive()
        next(iter(self._members.values())).client.send_note(note)

    # -- called by members -------------------------------------------------------------------------

    def take_outputs(self, batch: OutputBatch) -> None:
        """Outputs of one engine."""
        count_waiting(batch, self._groups)
        self._receivers.deliver(batch)
        if batch.finished:
            for finish in batch.finished:
                self._end(finish.request_id)
            self._route()

    def take_refusal(self, request_id: str, error: Exception) -> None:
        """An engine does not accept a request."""
        self._receivers.refuse(request_id, error)
        self._end(request_id)
        self._route()

    # -- internals ---------------------------------------------------------------------------------

    def _check_alive(self) -> None:
        if self._is_closed:
            raise EngineDeadError("the engines were stopped")
        if self.ready is None:
            raise NotReadyError("the model is being loaded; try again in a moment")
        if not self._members:
            raise self._none_lives()

    def _none_lives(self) -> NotReadyError:
        return NotReadyError(
            "no engine runs: all have ended, and are being started again; try again in a moment",
            retry_after_s=5.0,
        )

    async def _is_paused(self) -> bool:
        """Whether the engines pause; one that is too busy to say so, or ends, does not."""
        if not self._members:
            return False
        with contextlib.suppress(asyncio.TimeoutError, EngineDeadError):
            asked = control_all(self.engines, "stats", {})
            return bool((await asyncio.wait_for(asked, ANSWER_S)).get("is_paused"))
        return False

    def _take_note(self, note: Note) -> None:
        if self.on_note is not None:
            self.on_note(note)

    # -- routing -----------------------------------------------------------------------------------

    def _route(self) -> None:
        """Give waiting prompts to engines, oldest first, as long as there is room."""
        if self._has_peers and self._line:
            self._learn_loads()
        while self._line and self._members:
            group = self._line.first
            number = self._router.try_route(group.routed, self._loop.time())
            if number is None:
                return
            self._place(group, self._members[number])

    def _learn_loads(self) -> None:
        """What the other processes have sent there is known from each engine's last heartbeat."""
        for member in self._members.values():
            beat = member.client.heartbeat
            if beat is not None and beat is not member.known_beat:
                member.known_beat = beat
                num_requests = beat.num_running + beat.num_waiting
                self._router.take_load(member.number, num_requests, beat.num_tokens)

    def _place(self, group: PromptGroup, member: Member) -> None:
        try:
            member.submit(group)
        except EngineDeadError as error:  # whose callback comes in a moment
            self.lose(member, str(error))
            return
        self._leave_line(group)
        group.engine = member.number
        group.num_engines += 1
        group.submitted_s = time.monotonic()

    def _leave_line(self, group: PromptGroup) -> None:
        self._line.remove(group)
        if group.timer is not None:
            group.timer.cancel()

    def _leave_engine(self, group: PromptGroup) -> list[str]:
        """Take from a group what cannot be computed elsewhere; the names of that."""
        group.engine = None
        kept = group.unheard_of() if group.num_engines < MAX_ENGINES_TRIED else {}
        lost = [name for name in group.requests if name not in kept]
        for request_id in lost:
            del self._groups[request_id]
        group.requests = kept
        return lost

    def _end(self, request_id: str) -> None:
        """A request that an engine had has ended."""
        group = self._groups.pop(request_id, None)
        if group is None or group.engine is None:
            return
        del group.requests[request_id]
        del self._members[group.engine].groups[request_id]
        if not group.requests:
            self._router.finished(group.key, self._loop.time())

    # -- waiting -----------------------------------------------------------------------------------

    def _watch_deadline(self, group: PromptGroup) -> None:
        """All samples of a prompt have the same deadline, on the clock that all processes share."""
        deadline_s = next(iter(group.requests.values())).deadline_s
        if deadline_s is not None:
            wait_s = max(0.0, deadline_s - time.monotonic())
            group.timer = self._loop.call_later(wait_s, self._expire, group)

    def _expire(self, group: PromptGroup) -> None:
        if group.engine is None:
            for request_id in list(group.requests):
                message = "the request's deadline passed before it was done"
                self._end_waiting(group, request_id, message)

    def _end_waiting(self, group: PromptGroup, request_id: str, message: str) -> None:
        del self._groups[request_id]
        request = self._line.end_request(group, request_id)
        end = ended_waiting(group, request, message, time.monotonic())
        # As the engine's own ends do, it comes after the call that caused it.
        self._loop.call_soon(self._receivers.deliver, end)

    def _refuse_waiting(self, error: Exception) -> None:
        groups = list(self._line)
        for group in groups:
            self._leave_line(group)
            for request_id in group.requests:
                del self._groups[request_id]
        for group in groups:
            for request_id in group.requests:
                self._receivers.refuse(request_id, error)
