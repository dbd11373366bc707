"""Records what the engine computes, with torch's profiler, step by step."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sglite.errors import RequestError
from sglite.observability.events import Committed, Event, EventStream

if TYPE_CHECKING:
    from torch.profiler import profile

logger = logging.getLogger(__name__)


class StepProfiler:
    """One recording at a time, written as a trace that Perfetto and chrome://tracing show.

    Everything happens in the engine's thread; writing a long trace holds the engine up.
    """

    def __init__(self, events: EventStream) -> None:
        self._events = events
        self._profile: profile | None = None
        self._path = ""
        self._num_left: int | None = None

    @property
    def is_recording(self) -> bool:
        """True between :meth:`start` and the end of the recording."""
        return self._profile is not None

    def start(self, path: str, num_steps: int | None) -> None:
        """Record into ``path``: so many steps, or until :meth:`stop`. Raises RequestError."""
        if self._profile is not None:
            raise RequestError("a profile is being recorded; stop it first", param="start_profile")
        if num_steps is not None and num_steps < 1:
            raise RequestError(f"num_steps must be at least 1, got {num_steps}", param="num_steps")
        _check_writable(path)
        self._profile = _start_recording()
        self._path, self._num_left = path, num_steps
        if num_steps is not None:
            self._events.subscribe(self._count)

    def stop(self) -> str:
        """End the recording and write it; returns the path. Raises RequestError."""
        recording, self._profile = self._profile, None
        if recording is None:
            raise RequestError("no profile is being recorded", param="stop_profile")
        self._events.unsubscribe(self._count)
        recording.stop()
        try:
            recording.export_chrome_trace(self._path)
        except (OSError, RuntimeError) as error:
            fields = {"path": self._path, "cause": str(error)}
            logger.error("profile_not_written", extra={"fields": fields})
            raise RequestError("the profile could not be written", param="path") from error
        logger.info("profile_written", extra={"fields": {"path": self._path}})
        return self._path

    def _count(self, event: Event) -> None:
        """Take note of a step; the last one ends the recording, whatever becomes of its file."""
        if not isinstance(event, Committed) or self._num_left is None:
            return
        self._num_left -= 1
        if self._num_left == 0:
            try:
                self.stop()
            except RequestError as error:
                logger.error("profile_lost", extra={"fields": {"cause": str(error)}})


def _check_writable(path: str) -> None:
    """Learn now, rather than after the recording, that there is no room for it."""
    try:
        with open(path, "wb"):
            pass
    except OSError as error:
        reason = error.strerror
        raise RequestError(f"the profile cannot be written: {reason}", param="path") from error


def _start_recording() -> profile:
    from torch._C._profiler import _ExperimentalConfig
    from torch.profiler import ProfilerActivity, profile

    # With two steps in flight the model runs in a thread of the executor's.
    recording = profile(
        activities=[ProfilerActivity.CPU],
        experimental_config=_ExperimentalConfig(profile_all_threads=True),
    )
    recording.start()
    return recording
