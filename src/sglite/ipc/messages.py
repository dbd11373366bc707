"""What the front and the engine's process say to each other: msgpack of closed, typed structs.

The nouns of ``sglite.request`` travel as they are. A message that does not fit its type is dropped
and counted by whoever reads it (R2); nothing here can name code.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sglite.errors import CapacityError, RequestError
from sglite.request import OutputBatch, Request

PROTOCOL_VERSION = 3


class Submit(msgspec.Struct, tag="submit", frozen=True):
    """Queue these requests; each ends in one terminal event or one refusal."""

    requests: list[Request]


class Abort(msgspec.Struct, tag="abort", frozen=True):
    """End these requests; unknown ids are ignored."""

    request_ids: list[str]


class Control(msgspec.Struct, tag="control", frozen=True):
    """Run one of the engine's named operations between two steps; answered by a Reply."""

    call_id: int
    name: str
    arguments: dict[str, bool | int | float | str | list[int] | None] = {}


class Note(msgspec.Struct, tag="note", frozen=True):
    """From one API process to all of them, itself too; the engine only passes it on.

    All see all notes in the same order. ``call_id`` tells the questions of one ``sender`` apart.
    An answer has the ``asker``, a question does not.
    """

    topic: str
    sender: int
    call_id: int
    payload: Any = None
    asker: int | None = None


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The first message of an engine: what it is and what requests may ask of it.

    ``config`` has every option, settled. ``context_length``, ``pool_tokens`` count tokens;
    ``vocab_size`` is the width of the logits. ``startup_s`` is the time from the process's start.
    """

    protocol_version: int
    pid: int
    config: dict[str, Any]
    context_length: int
    pool_tokens: int
    vocab_size: int
    model_context_length: int
    eos_token_ids: list[int]
    startup_s: float


class Outputs(msgspec.Struct, tag="outputs", frozen=True):
    """What one step told the requests of this connection."""

    batch: OutputBatch


class Refused(msgspec.Struct, tag="refused", frozen=True):
    """A request was not accepted: there is no room, or it is invalid. Its terminal event.

    ``param`` names the field that makes it invalid.
    """

    request_id: str
    message: str
    retry_after_s: float | None = None
    is_invalid: bool = False
    param: str | None = None

    @classmethod
    def of(cls, request_id: str, error: Exception) -> Refused:
        """What tells of ``error``."""
        if isinstance(error, RequestError):
            return cls(request_id, str(error), is_invalid=True, param=error.param)
        retry_after_s = error.retry_after_s if isinstance(error, CapacityError) else None
        return cls(request_id, str(error), retry_after_s)

    def to_error(self) -> RequestError | CapacityError:
        """The error that it tells of."""
        if self.is_invalid:
            return RequestError(self.message, param=self.param)
        return CapacityError(self.message, retry_after_s=self.retry_after_s)


class Reply(msgspec.Struct, tag="reply", frozen=True):
    """The result of a Control; ``error`` is set instead where it failed.

    ``is_fault``: not the caller's mistake but a fault of ours; the engine's log has more.
    """

    call_id: int
    result: Any = None
    error: str | None = None
    is_fault: bool = False


class Heartbeat(msgspec.Struct, tag="heartbeat", frozen=True):
    """Sent twice a second. ``loop_age_s``: since the engine's loop last turned.

    ``num_tokens``: of all requests that live, prompts and the outputs that they may have.
    """

    loop_age_s: float
    num_running: int
    num_waiting: int
    num_waiting_tokens: int
    num_tokens: int = 0


class Digest(msgspec.Struct, tag="digest", frozen=True):
    """Which prefixes the engine has cached, for routers: hashes as ``router.prefix_hashes`` has.

    ``added`` and ``removed`` are packed, 8 bytes each. ``is_whole``: nothing but ``added`` is
    cached; what does not fit one message follows as changes. ``page_size`` counts tokens.
    """

    page_size: int
    is_whole: bool
    added: bytes
    removed: bytes = b""


class Fatal(msgspec.Struct, tag="fatal", frozen=True):
    """The engine ends because of a fault; every open request has failed."""

    message: str


ToEngine = Submit | Abort | Control | Note
FromEngine = Ready | Outputs | Refused | Reply | Heartbeat | Digest | Fatal | Note
