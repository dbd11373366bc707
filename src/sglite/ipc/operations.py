"""What a front may ask of the engine by name, beside requests: a closed table.

An operation runs between two steps, in the engine's thread. It gets its arguments as one typed
struct; names and types are checked before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from sglite.errors import RequestError
from sglite.ipc.profiling import StepProfiler
from sglite.lanes.laned_engine import AnyEngine


class Arguments(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Of an operation without any; base of the others."""


class FlushCache(Arguments, frozen=True):
    """``timeout_s``: how long to wait for the engine to be idle."""

    timeout_s: float = 0.0


class Pause(Arguments, frozen=True):
    """``abort`` ends what is open, ``retract`` frees its KV, ``in_place`` keeps everything."""

    mode: Literal["abort", "retract", "in_place"] = "abort"


class UnpinPrefix(Arguments, frozen=True):
    """The prompt that was pinned, as token ids."""

    token_ids: list[int]
    namespace: str = ""


class StartProfile(Arguments, frozen=True):
    """``path`` is a file the front has approved of; ``num_steps`` None: until it is stopped."""

    path: str
    num_steps: int | None = None


@dataclass(slots=True)
class EngineSide:
    """What operations work on. ``waited_s`` is for how long the present one has been tried."""

    engine: AnyEngine
    profiler: StepProfiler
    waited_s: float = 0.0


class _Pending:
    """The operation wants to be tried again, a little later."""


PENDING = _Pending()


def flush_cache(side: EngineSide, arguments: FlushCache) -> bool | _Pending:
    """True once every prefix that is not pinned is forgotten; False where requests still live."""
    if side.engine.try_flush_cache():
        return True
    return PENDING if side.waited_s < arguments.timeout_s else False


def stats(side: EngineSide, arguments: Arguments) -> dict[str, int]:
    """The engine's counters and present state, flat."""
    schedulers = side.engine.schedulers
    return {
        **side.engine.stats(),
        "num_waiting_tokens": sum(scheduler.queue.num_tokens for scheduler in schedulers),
        "is_paused": int(schedulers[0].is_paused),
    }


def loads(side: EngineSide, arguments: Arguments) -> dict[str, int]:
    """How busy the engine is; ``num_used_tokens`` counts KV that cannot be evicted."""
    schedulers = side.engine.schedulers
    stats = [scheduler.cache.stats() for scheduler in schedulers]
    total = sum(each.num_total_tokens for each in stats)
    unused = sum(each.num_free_tokens + each.num_evictable_tokens for each in stats)
    return {
        "num_running_requests": sum(len(each.batch.running) for each in schedulers),
        "num_waiting_requests": sum(len(each.queue) for each in schedulers),
        "num_waiting_tokens": sum(each.queue.num_tokens for each in schedulers),
        "num_used_tokens": total - unused,
        "num_total_tokens": total,
    }


def abort_all(side: EngineSide, arguments: Arguments) -> None:
    """End every request that lives, whoever sent it."""
    for scheduler in side.engine.schedulers:
        for request_id in list(scheduler.live):
            side.engine.abort(request_id)


def pause(side: EngineSide, arguments: Pause) -> None:
    """Start no more steps. Requests still come in, wait, and keep their deadlines."""
    for scheduler in side.engine.schedulers:
        scheduler.is_paused = True
        if arguments.mode == "retract":
            for sequence in list(scheduler.batch.running):
                scheduler.retract(sequence.request_id, "generation is paused")
    if arguments.mode == "abort":
        abort_all(side, arguments)


def resume(side: EngineSide, arguments: Arguments) -> None:
    """Undo ``pause``; without one, nothing happens."""
    for scheduler in side.engine.schedulers:
        scheduler.is_paused = False


def unpin_prefix(side: EngineSide, arguments: UnpinPrefix) -> bool:
    """Let a pinned prefix be evicted again; False if it was not pinned."""
    return side.engine.unpin(arguments.namespace, arguments.token_ids)


def start_profile(side: EngineSide, arguments: StartProfile) -> None:
    """Record what the engine computes. Raises RequestError where a recording runs."""
    side.profiler.start(arguments.path, arguments.num_steps)


def stop_profile(side: EngineSide, arguments: Arguments) -> str:
    """End the recording; the file it is in. Raises RequestError where none runs."""
    return side.profiler.stop()


@dataclass(frozen=True, slots=True)
class Operation:
    """A function of the table, and the type of its arguments."""

    function: Callable[[EngineSide, Any], Any]
    arguments: type[Arguments] = Arguments


OPERATIONS: dict[str, Operation] = {
    "flush_cache": Operation(flush_cache, FlushCache),
    "stats": Operation(stats),
    "loads": Operation(loads),
    "abort_all": Operation(abort_all),
    "pause": Operation(pause, Pause),
    "resume": Operation(resume),
    "unpin_prefix": Operation(unpin_prefix, UnpinPrefix),
    "start_profile": Operation(start_profile, StartProfile),
    "stop_profile": Operation(stop_profile),
}


def bind(name: str, arguments: dict[str, Any]) -> Callable[[EngineSide], Any]:
    """The operation with its arguments, ready to run. Raises RequestError."""
    operation = OPERATIONS.get(name)
    if operation is None:
        raise RequestError(f"{name[:80]!r} is not an operation of the engine", param="name")
    try:
        typed = msgspec.convert(arguments, operation.arguments)
    except msgspec.ValidationError as error:
        raise RequestError(f"{name}: {error}", param="arguments") from None
    return lambda side: operation.function(side, typed)
