"""``--log-requests``: one line about every HTTP call, and one about every answer, when it ends.

    request_finished request_id=9f31 sequence=4c… reason=stop prompt=812 cached=768 output=96 ...
    http_finished request_id=9f31 method=POST endpoint=/generate status=200 seconds=1.3

Never prompts, answers or keys. The formatters of ``observability.logging`` keep every value on its
line, whatever it contains.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from sglite.generation import Generation
from sglite.observability.logging import log_event

logger = logging.getLogger(__name__)

MAX_LINES_PER_SECOND = 1000


class RequestLog:
    """Writes the lines, at most ``MAX_LINES_PER_SECOND``; what it leaves out it counts.

    The lines are of level INFO and appear whatever ``--log-level`` says: they were asked for.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        logger.setLevel(logging.INFO)
        self._clock = clock
        self._second = 0
        self._num_lines = 0
        self._num_omitted = 0

    def request_finished(self, generation: Generation, fields: Mapping[str, Any]) -> None:
        """Log the end of a request; ``fields`` say which call it belongs to."""
        if self._has_room():
            log_event(logger, logging.INFO, "request_finished", **fields, **figures(generation))

    def http_finished(self, method: str, endpoint: str | None, status: int, seconds: float) -> None:
        """Log the end of an HTTP call; ``endpoint`` is the route's template, None without one."""
        if self._has_room():
            fields = {"method": method, "endpoint": endpoint or "other", "status": status}
            log_event(logger, logging.INFO, "http_finished", **fields, seconds=seconds)

    def _has_room(self) -> bool:
        second = int(self._clock())
        if second != self._second:
            if self._num_omitted:
                log_event(logger, logging.INFO, "request_lines_omitted", lines=self._num_omitted)
            self._second, self._num_lines, self._num_omitted = second, 0, 0
        self._num_lines += 1
        has_room = self._num_lines <= MAX_LINES_PER_SECOND
        self._num_omitted += not has_room
        return has_room


def figures(generation: Generation) -> dict[str, Any]:
    """What the line says about an answer; what never happened is left out."""
    speed = generation.decode_tokens_per_s
    all_figures = {
        "sequence": generation.request_id,
        "reason": generation.finish_reason.value,
        "prompt": generation.num_prompt_tokens,
        "cached": generation.num_cached_tokens,
        "output": generation.num_output_tokens,
        "queue_s": generation.queue_s,
        "ttft_s": generation.ttft_s,
        "tpot_ms": None if speed is None else 1000 / speed,
        "e2e_s": generation.e2e_s,
        "retractions": generation.num_retractions,
    }
    return {name: value for name, value in all_figures.items() if value is not None}
