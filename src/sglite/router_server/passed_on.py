"""A worker's answer on its way to the client: the same bytes, no faster than they are read."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from sglite.router_server.headers import to_client, value_of
from sglite.router_server.worker_client import WorkerAnswer, WorkerLostError
from sglite.server.http.error_table import HttpError, error_body, stream_error
from sglite.server.http.sse import EventStreamResponse


class PassedOnResponse(EventStreamResponse):
    """Sends what a worker answers. ``on_close`` is called once, however it ends.

    Where the worker breaks off, a stream ends with an error event of its kind; anything else ends
    as it did there, without its last byte.
    """

    def __init__(self, answer: WorkerAnswer, on_close: Callable[[], None]) -> None:
        super().__init__(answer.chunks(), on_close, write_error=self._last_words)
        self.status_code = answer.status
        self.raw_headers = to_client(answer.headers)
        self._answer = answer

    def _last_words(self, error: Exception) -> bytes:
        if isinstance(error, WorkerLostError):
            error = worker_lost()
        kind = (value_of(self._answer.headers, b"content-type") or b"").partition(b";")[0].strip()
        if kind == b"text/event-stream":
            return (b"" if self._answer.ends_event else b"\n\n") + stream_error(error)
        if kind == b"application/x-ndjson":
            lines = ({"error": error_body(error)["error"]}, {"event": "done"})
            return b"\n" + b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        raise error


def worker_lost() -> HttpError:
    """What a client is told whose worker is gone."""
    return HttpError(
        "the worker that had this request failed; send it again", status=503, code="worker_lost"
    )
