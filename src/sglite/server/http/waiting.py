"""Waiting for an answer while watching whether anybody still wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from sglite.generation import Generation

T = TypeVar("T")


class Answers(Protocol):
    """What ``AnswerStream`` offers to those who want everything at once."""

    async def collect(self) -> list[Generation]:
        """All answers, in order."""
        ...

    def close(self) -> None:
        """Abort what has not ended."""
        ...


async def wait_for_disconnect(receive: Receive) -> None:
    """Return when the caller has left. The body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def finish_or_disconnect(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``; cancels it and raises ClientDisconnect if the caller leaves first."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(wait_for_disconnect(receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        watch.cancel()
        task.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


async def collect_or_disconnect(request: Request, stream: Answers) -> list[Generation]:
    """All answers of a call, in order; they are aborted if the caller leaves first.

    Raises what the stream raises, and ClientDisconnect.
    """
    try:
        return await finish_or_disconnect(request.receive, stream.collect())
    finally:
        stream.close()
