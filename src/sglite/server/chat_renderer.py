"""Chat templates in a process of their own, which is ended where one takes too long (R6).

    renderer = ChatRenderer(tokenizer.chat_template_sources)
    await renderer.start()
    prompt = await renderer.render(tokenizer.plan_chat(messages))
    await renderer.stop()

One chat is rendered at a time. A process that was ended is replaced when the next chat comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec

from sglite.errors import RequestError
from sglite.ipc.spawning import Child
from sglite.observability.logging import log_event
from sglite.server.render_messages import Rendered, Sources

if TYPE_CHECKING:
    from sglite.tokenizer.chat_template import PlannedChat

logger = logging.getLogger(__name__)

MODULE = "sglite.server.render_process"
TIMEOUT_S = 3.0
START_TIMEOUT_S = 30.0
MAX_MEMORY_BYTES = 1 << 30


class Renderer(Protocol):
    """Whoever renders chats for a front."""

    async def render(self, chat: PlannedChat) -> str:
        """The prompt. Raises RequestError."""
        ...

    async def stop(self) -> None:
        """Let go what it needs for that."""
        ...


class ChatRenderer:
    """Renders in a process. ``pid`` is that of the process, None where none runs."""

    def __init__(
        self,
        templates: Mapping[str, str],
        *,
        timeout_s: float = TIMEOUT_S,
        max_memory_bytes: int = MAX_MEMORY_BYTES,
    ) -> None:
        self._sources = Sources(dict(templates), max_memory_bytes)
        self._timeout_s = timeout_s
        self._lock = asyncio.Lock()
        self._child: Child | None = None
        self._decoder = msgspec.msgpack.Decoder(Rendered)

    @property
    def pid(self) -> int | None:
        """The process that renders."""
        return None if self._child is None else self._child.pid

    async def start(self) -> None:
        """Start the process now, so that the first chat need not wait for it. Raises OSError."""
        async with self._lock:
            await self._running()

    async def stop(self) -> None:
        """End the process. A later chat would start another."""
        child, self._child = self._child, None
        if child is not None:
            await child.kill()

    async def render(self, chat: PlannedChat) -> str:
        """The prompt of ``chat``.

        Raises RequestError where the template refuses it, fails on it, or takes too long; OSError
        where no process can be started.
        """
        async with self._lock:
            child = await self._running()
            try:
                rendered = await self._ask(child, chat)
            except BaseException:  # also where the caller left: its answer would be another's
                await self.stop()
                raise
        if rendered.error is not None:
            raise RequestError(rendered.error, param=rendered.param)
        return rendered.prompt

    async def _ask(self, child: Child, chat: PlannedChat) -> Rendered:
        child.send(chat)
        try:
            frame = await asyncio.wait_for(child.receive(), self._timeout_s)
        except asyncio.TimeoutError:
            log_event(logger, logging.WARNING, "chat_template_too_slow", seconds=self._timeout_s)
            raise RequestError(
                f"the chat template takes longer than {self._timeout_s:g} s for these messages; "
                "shorten them",
                param="messages",
            ) from None
        except EOFError:
            log_event(logger, logging.WARNING, "chat_template_died", exit_code=child.exit_code)
            raise RequestError(
                "the chat template failed on these messages", param="messages"
            ) from None
        return self._decoder.decode(frame)

    async def _running(self) -> Child:
        """The process, started where there is none."""
        if self._child is not None and self._child.exit_code is None:
            return self._child
        await self.stop()
        child = await Child.start(MODULE)
        try:
            child.send(self._sources)
            await asyncio.wait_for(child.receive(), START_TIMEOUT_S)
        except BaseException as error:
            await child.kill()
            if isinstance(error, EOFError | asyncio.TimeoutError):
                raise OSError("the process for chat templates did not start") from error
            raise
        self._child = child
        return child
