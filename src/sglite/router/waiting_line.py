"""Requests that no engine can take yet, in order of arrival.

    line.enter(request, now)         # the engine, or None: it waits in line
    line.leave(now)                  # after room was made: whose turn it is, and where to

Nobody overtakes: limits are the same for all, so where the first cannot go, no other can.
"""

from __future__ import annotations

from collections import OrderedDict

from sglite.errors import CapacityError
from sglite.router.policies import RoutedRequest
from sglite.router.router import Router


class WaitingLine:
    """The line before a router; at most ``max_waiting`` stand in it."""

    def __init__(self, router: Router, max_waiting: int) -> None:
        self._router = router
        self._max_waiting = max_waiting
        self._waiting: OrderedDict[str, RoutedRequest] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._waiting

    def enter(self, request: RoutedRequest, now: float) -> int | None:
        """The engine of a request that need not wait; None: it stands in line now.

        Raises CapacityError where the line is full, ValueError where the id is open or waits.
        """
        if request.request_id in self._waiting:
            raise ValueError(f"the request id {request.request_id:.80} waits already")
        engine = None if self._waiting else self._router.try_route(request, now)
        if engine is None:
            self._stand(request)
        return engine

    def leave(self, now: float) -> list[tuple[str, int]]:
        """All who can go now, first come first: their ids and engines. They are open from now."""
        routed = []
        while self._waiting:
            request = next(iter(self._waiting.values()))
            engine = self._router.try_route(request, now)
            if engine is None:
                break
            del self._waiting[request.request_id]
            routed.append((request.request_id, engine))
        return routed

    def give_up(self, request_id: str) -> bool:
        """The caller no longer waits; False where it did not stand in line."""
        return self._waiting.pop(request_id, None) is not None

    def _stand(self, request: RoutedRequest) -> None:
        if len(self._waiting) >= self._max_waiting:
            raise CapacityError(
                f"{len(self._waiting):,} requests wait for an engine, the most that may; "
                "try again later",
                retry_after_s=1.0,
            )
        self._waiting[request.request_id] = request
