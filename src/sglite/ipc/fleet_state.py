"""What several engines are together: their first words and their signs of life, as one."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from sglite.ipc.messages import Heartbeat, Ready


def merged_ready(first: Ready, other: Ready, *, num_engines: int) -> Ready:
    """What fits both engines; the options are those of the server."""
    return msgspec.structs.replace(
        first,
        config={**first.config, "dp_size": num_engines},
        context_length=min(first.context_length, other.context_length),
        pool_tokens=min(first.pool_tokens, other.pool_tokens),
        startup_s=max(first.startup_s, other.startup_s),
    )


def merged_heartbeat(beats: Iterable[Heartbeat | None], *, num_waiting: int) -> Heartbeat | None:
    """Sums, and the age of the oldest; ``num_waiting`` requests wait before all engines."""
    heard = [beat for beat in beats if beat is not None]
    if not heard:
        return None
    return Heartbeat(
        loop_age_s=max(beat.loop_age_s for beat in heard),
        num_running=sum(beat.num_running for beat in heard),
        num_waiting=sum(beat.num_waiting for beat in heard) + num_waiting,
        num_waiting_tokens=sum(beat.num_waiting_tokens for beat in heard),
        num_tokens=sum(beat.num_tokens for beat in heard),
    )
