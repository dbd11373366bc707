"""All ranks of an engine but the leader, in its hands: their start, their plans, their end."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from sglite.errors import RankLostError
from sglite.ranks.channel import PlanSender, encode
from sglite.ranks.messages import Close, Phase, Proceed
from sglite.ranks.rank_links import RankLinks

CLOSE_S = 5.0
"""What ranks may take to end after they were told to."""
EXIT_S = 1.0
"""What one that has said its last word may take to end."""
KILL_S = 10.0
"""What a killed process may take to vanish; only a broken kernel needs longer."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Fanout:
    """One sender for several."""

    def __init__(self, senders: Sequence[PlanSender]) -> None:
        self._senders = list(senders)

    def send(self, payload: bytes) -> None:
        """To all, in order."""
        for sender in self._senders:
            sender.send(payload)

    def close(self) -> None:
        """Close all."""
        for sender in self._senders:
            sender.close()


class RankTeam:
    """The other ranks. ``processes`` are those of this machine, by rank.

    ``release`` removes what they needed to meet; it may be called more than once.
    """

    def __init__(
        self,
        links: RankLinks,
        sender: PlanSender,
        processes: dict[int, subprocess.Popen[bytes]],
        *,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self.links = links
        self.sender = sender
        self._processes = processes
        self._release = release
        self._is_closed = False

    def settle(self, phase: Phase, num_pages: int) -> int:
        """Wait until all ranks have come to ``phase``, as we have; let them proceed.

        Returns the smallest number of pages that any rank has room for, ours being ``num_pages``.
        """
        num_pages = min([num_pages, *(at.num_pages for at in self.links.wait_for(phase))])
        if phase != "started":
            self._release()  # they have met
        self.sender.send(encode(Proceed(phase, num_pages)))
        return num_pages

    def watched(self, work: Callable[[], T]) -> T:
        """The result of ``work``, which waits for other ranks; the loss of one ends the wait."""
        future: Future[Any] = Future()
        threading.Thread(
            target=_settle, args=(future, work), name="ranks-meet", daemon=True
        ).start()
        self.links.wait(future)
        result: T = self.links.guarded(future.result)
        return result

    def close(self) -> None:
        """Tell all ranks to end, and end those that do not. Safe to repeat."""
        if self._is_closed:
            return
        self.links.begin_closing()
        if self.links.loss is None:
            with contextlib.suppress(RankLostError, OSError):
                self.sender.send(encode(Close()))
            self.links.wait_until_ended(CLOSE_S)
            self._wait_for_processes(EXIT_S)
        self.kill()

    def kill(self) -> None:
        """End all ranks now. Safe to repeat."""
        if self._is_closed:
            return
        self._is_closed = True
        self.links.begin_closing()
        self.sender.close()
        self.links.close()
        for rank, process in self._processes.items():
            if process.poll() is None:
                logger.warning("rank_killed", extra={"fields": {"rank": rank}})
                process.kill()
        self._wait_for_processes(KILL_S)
        self._release()

    def _wait_for_processes(self, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline_s - time.monotonic()))


def _settle(future: Future[Any], work: Callable[[], Any]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001  belongs to who waits
        future.set_exception(error)
