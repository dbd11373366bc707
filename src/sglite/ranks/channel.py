"""The way of plans from the leader to its ranks, and how a message becomes bytes.

:class:`~sglite.ranks.local_channel.LocalSender` reaches the ranks of this machine,
:class:`~sglite.ranks.socket_channel.SocketSender` one rank of another.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from sglite.errors import RankLostError
from sglite.ipc.frames import BAD_FRAME_ERRORS
from sglite.ranks.messages import FromRank, ToRank

_encoder = msgspec.msgpack.Encoder()
_to_rank = msgspec.msgpack.Decoder(ToRank)
_from_rank = msgspec.msgpack.Decoder(FromRank)


class PlanSender(Protocol):
    """The leader's end. Belongs to one thread at a time."""

    def send(self, payload: bytes) -> None:
        """Hand on a message; returns when all have it, or room for it. Raises RankLostError."""

    def close(self) -> None:
        """No more comes. Safe to repeat."""


class PlanReceiver(Protocol):
    """A rank's end."""

    def receive(self) -> bytes:
        """The next message; waits. EOFError where the leader is gone, RankLostError for damage."""

    def close(self) -> None:
        """Give up what it holds."""


def encode(message: ToRank) -> bytes:
    """``message`` as bytes."""
    return _encoder.encode(message)


def decode_to_rank(payload: bytes) -> ToRank:
    """What the leader says. A rank cannot leave out a plan: RankLostError where it is none."""
    try:
        return _to_rank.decode(payload)
    except BAD_FRAME_ERRORS as error:
        raise RankLostError(f"the leader sent what is no message: {error!s:.200}") from error


def decode_from_rank(frame: bytes | memoryview) -> FromRank:
    """What a rank says. Raises one of BAD_FRAME_ERRORS where it is no message."""
    return _from_rank.decode(frame)
