"""The ranks as the leader sees them: what each says, and whether it is still there.

One thread reads what all ranks say. The first that faults, or whose connection ends, is the loss of
the engine: everybody who waits, or asked to be told, hears of it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import selectors
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from sglite.errors import ConfigError, RankLostError, SgliteError
from sglite.ipc.frames import BAD_FRAME_ERRORS, FrameReader, FrameTooLargeError
from sglite.ranks.channel import decode_from_rank
from sglite.ranks.messages import FromRank, Phase, RankAt, RankFault, StepDone
from sglite.scheduler.plan import StepResult

LOOK_S = 0.1
"""How often a rank's loss is looked for while something else is waited for."""
LAST_WORDS_S = 1.0
"""What a rank that failed together with us may take to say why."""

logger = logging.getLogger(__name__)

T = TypeVar("T")


class RankLinks:
    """One socket for each rank but ours. The thread starts with :meth:`start`.

    The sockets belong to this from then on.
    """

    def __init__(self, sockets: dict[int, socket.socket]) -> None:
        self._sockets = sockets
        self._readers = {rank: FrameReader() for rank in sockets}
        self._changed = threading.Condition()
        self._at: dict[int, RankAt] = {}
        self._loss: SgliteError | None = None
        self._is_closing = False
        self._listeners: list[Callable[[SgliteError], None]] = []
        self._results: dict[tuple[int, int], Future[StepResult]] = {}
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, name="rank-watch", daemon=True)

    def start(self) -> None:
        """Listen from now on."""
        for rank, sock in self._sockets.items():
            self._selector.register(sock, selectors.EVENT_READ, rank)
        self._thread.start()

    # -- the leader's side, from any thread --------------------------------------------------------

    @property
    def loss(self) -> SgliteError | None:
        """Why the engine cannot go on; None while all ranks are there."""
        return self._loss

    def check(self) -> None:
        """Raises what ended a rank."""
        if self._loss is not None:
            raise self._loss

    def on_loss(self, listener: Callable[[SgliteError], None]) -> None:
        """Call ``listener`` once when a rank is lost, maybe at once. In any thread."""
        with self._changed:
            if self._loss is None:
                self._listeners.append(listener)
                return
        listener(self._loss)

    def wait_for(self, phase: Phase, timeout_s: float | None = None) -> list[RankAt]:
        """What all ranks say when they have come to ``phase``.

        Raises ConfigError where one cannot be made so, RankLostError where one is lost or late.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._loss is not None or len(self._those_at(phase)) == len(self._sockets),
                timeout_s,
            )
            self.check()
            there = self._those_at(phase)
        if len(there) < len(self._sockets):
            missing = sorted(set(self._sockets) - set(there))
            raise RankLostError(f"ranks {missing} were not {phase} after {timeout_s:g} s")
        return list(there.values())

    def _those_at(self, phase: Phase) -> dict[int, RankAt]:
        return {rank: at for rank, at in self._at.items() if at.phase == phase}

    def cause_of(self, error: Exception) -> Exception:
        """What a rank says of a failure that reached us as ``error``, else that."""
        with self._changed:
            self._changed.wait_for(lambda: self._loss is not None, LAST_WORDS_S)
        return self._loss or error

    def guarded(self, work: Callable[[], T]) -> T:
        """The result of ``work``, in which all ranks have their parts; what ended one, where it
        fails for that."""
        try:
            return work()
        except Exception as error:
            cause = self.cause_of(error)
            if cause is error:
                raise
            raise cause from error

    def wait(self, future: Future[Any], within_s: float = math.inf) -> bool:
        """Until ``future`` is done, or too late (False). Raises what ended a rank meanwhile."""
        deadline_s = time.monotonic() + within_s
        while not wait([future], timeout=LOOK_S).done:
            self.check()
            if time.monotonic() > deadline_s:
                return False
        return True

    def result_of(self, rank: int, step_id: int) -> Future[StepResult]:
        """What ``rank`` draws in a step; asked for once."""
        key = rank, step_id
        with self._changed:
            future = self._results.pop(key, None)
            if future is None:
                future = Future()
                if self._loss is None:
                    self._results[key] = future
                else:
                    future.set_exception(self._loss)
        return future

    def begin_closing(self) -> None:
        """From now on a rank that ends is no loss."""
        self._is_closing = True

    def wait_until_ended(self, timeout_s: float) -> None:
        """Wait until all ranks have ended their connection."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            self._changed.wait_for(lambda: not self._sockets, deadline_s - time.monotonic())

    def close(self) -> None:
        """End all connections; a rank that sees that ends itself. Safe to repeat."""
        self.begin_closing()
        with self._changed:
            for sock in self._sockets.values():
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._sockets:
            for key, _ in self._selector.select():
                rank = key.data
                if not self._receive(rank):
                    self._end(rank)
        self._selector.close()

    def _receive(self, rank: int) -> bool:
        """Take what a rank says; False where that was its last."""
        reader = self._readers[rank]
        try:
            num_received = self._sockets[rank].recv_into(reader.space())
            for frame in reader.frames(num_received):
                self._take(rank, decode_from_rank(frame))
        except (OSError, FrameTooLargeError):
            return False
        except BAD_FRAME_ERRORS as error:
            self._lose(RankLostError(f"rank {rank} said what is no message: {error!s:.200}"))
            return False
        return num_received > 0

    def _take(self, rank: int, message: FromRank) -> None:
        if isinstance(message, RankFault):
            kind = ConfigError if message.is_bad_config else RankLostError
            self._lose(kind(message.message))
        elif isinstance(message, StepDone):
            self._settle((rank, message.step_id), message.result)
        else:
            with self._changed:
                self._at[rank] = message
                self._changed.notify_all()

    def _settle(self, key: tuple[int, int], result: StepResult) -> None:
        with self._changed:
            future = self._results.pop(key, None)
            if future is None:  # nobody has asked yet
                future = self._results[key] = Future()
            future.set_result(result)  # in here: what is kept for later is done

    def _end(self, rank: int) -> None:
        self._selector.unregister(self._sockets[rank])
        with self._changed:
            self._sockets.pop(rank).close()
            self._changed.notify_all()
        if not self._is_closing:
            self._lose(RankLostError(f"rank {rank} of the engine has ended; its log tells why"))

    def _lose(self, error: SgliteError) -> None:
        with self._changed:
            if self._loss is not None or self._is_closing:
                return
            self._loss = error
            listeners, self._listeners = self._listeners, []
            open_results, self._results = list(self._results.values()), {}
            self._changed.notify_all()
        logger.critical("rank_lost", extra={"fields": {"cause": str(error)}})
        for future in open_results:
            if not future.done():
                future.set_exception(error)
        for listener in listeners:
            listener(error)
