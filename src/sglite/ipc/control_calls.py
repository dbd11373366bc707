"""Control messages under way: each runs in the engine's thread and ends in one Reply.

An operation that answers PENDING is tried again a little later, until it has something to say; the
engine never waits for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from sglite.errors import EngineDeadError, RequestError
from sglite.ipc.client import InProcessClient
from sglite.ipc.connection import Connection
from sglite.ipc.messages import Control, Reply
from sglite.ipc.operations import PENDING, EngineSide, bind

logger = logging.getLogger(__name__)

TRY_AGAIN_S = 0.02
MAX_PENDING_CALLS = 256


@dataclass(eq=False, slots=True)
class ControlCall:
    """One call: where its answer goes, and since when it is tried."""

    connection: Connection
    call_id: int
    operation: Callable[[EngineSide], Any]
    began_s: float
    due_s: float = 0.0

    def run(self, side: EngineSide) -> Any:
        """Try the operation. Called in the engine's thread."""
        side.waited_s = time.monotonic() - self.began_s
        return self.operation(side)


class ControlCalls:
    """Belongs to the IO thread; what comes of a call arrives in the engine's."""

    def __init__(
        self,
        client: InProcessClient,
        side: EngineSide,
        run_in_io_thread: Callable[[Callable[[], None]], None],
    ) -> None:
        self._client = client
        self._side = side
        self._run_in_io_thread = run_in_io_thread
        self._pending: list[ControlCall] = []

    def begin(self, connection: Connection, message: Control) -> None:
        """Run an operation; its Reply goes to ``connection``."""
        try:
            operation = bind(message.name, message.arguments)
        except RequestError as error:
            connection.send(Reply(message.call_id, error=str(error)))
            return
        self._try(ControlCall(connection, message.call_id, operation, time.monotonic()))

    def next_due_s(self) -> float:
        """Seconds until a call has to be tried again."""
        if not self._pending:
            return TRY_AGAIN_S * MAX_PENDING_CALLS
        return min(call.due_s for call in self._pending) - time.monotonic()

    def try_again(self) -> None:
        """Try the calls that are due; those whose connection has gone are forgotten."""
        if not self._pending:
            return
        now = time.monotonic()
        due = [call for call in self._pending if call.due_s <= now]
        for call in due:
            self._pending.remove(call)
            if not call.connection.is_over:
                self._try(call)

    def _try(self, call: ControlCall) -> None:
        try:
            future = self._client.begin_call(lambda engine: call.run(self._side))
        except EngineDeadError as error:
            call.connection.send(Reply(call.call_id, error=str(error), is_fault=True))
            return
        future.add_done_callback(lambda done: self._settle(call, done))

    def _settle(self, call: ControlCall, future: Future[Any]) -> None:
        """Send what came of it. Called in the engine's thread."""
        error = future.exception()
        if isinstance(error, RequestError):
            reply = Reply(call.call_id, error=str(error))
        elif error is not None:
            logger.error("ipc_operation_failed", exc_info=error)
            reply = Reply(call.call_id, error="the engine failed to do it", is_fault=True)
        elif future.result() is not PENDING:
            reply = Reply(call.call_id, result=future.result())
        else:
            self._run_in_io_thread(lambda: self._postpone(call))
            return
        call.connection.send(reply)

    def _postpone(self, call: ControlCall) -> None:
        if len(self._pending) >= MAX_PENDING_CALLS:
            error = "too many calls wait for the engine"
            call.connection.send(Reply(call.call_id, error=error))
            return
        call.due_s = time.monotonic() + TRY_AGAIN_S
        self._pending.append(call)
