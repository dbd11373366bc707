"""The server's routes over a real model in this process, for clients that know only HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import httpx2

from sglite import LLM
from sglite.config import ServerConfig
from sglite.embedded import EMBEDDED_MODEL_DIR
from sglite.request import OutputBatch, Request
from sglite.server.app import build_app
from sglite.server.front import Front
from tests.server.fake_engine import Receiver
from tests.server.openai_calls import PROTOCOLS

WAIT_S = 60.0


class LoopEngine:
    """The engine of an LLM as the server sees engines: outputs come in the event loop."""

    is_alive = True

    def __init__(self, llm: LLM) -> None:
        self._client = llm._client

    def submit(self, requests: list[Request], receiver: Receiver) -> None:
        loop = asyncio.get_running_loop()

        def deliver(batch: OutputBatch) -> None:
            loop.call_soon_threadsafe(receiver.deliver, batch)

        def refuse(request_id: str | None, error: Exception) -> None:
            loop.call_soon_threadsafe(receiver.refuse, request_id, error)

        self._client.submit(requests, deliver, refuse)

    def abort(self, request_ids: list[str]) -> None:
        self._client.abort(request_ids)


def front_of(llm: LLM, **options: Any) -> Front:
    """A front over the embedded model, loaded as ``llm``."""
    return Front(
        config=ServerConfig(**options),
        engine=LoopEngine(llm),
        tokenizer=llm.tokenizer,
        limits=llm._limits,
        generation_defaults=llm.generation_defaults,
        model_directory=str(EMBEDDED_MODEL_DIR),
        architectures=["Qwen3ForCausalLM"],
    )


class LoopThread:
    """An event loop in a thread, with an application that clients of any kind can call."""

    def __init__(self, llm: LLM) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.app = build_app(front_of(llm), PROTOCOLS)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The result of a coroutine that runs in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    def close(self) -> None:
        """End the loop."""
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    def async_client(self) -> httpx2.AsyncClient:
        """For use within :meth:`run`."""
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.app))

    def sync_client(self) -> httpx2.Client:
        """For use in any other thread."""
        return httpx2.Client(transport=_SyncTransport(self))


class _SyncTransport(httpx2.BaseTransport):
    def __init__(self, thread: LoopThread) -> None:
        self._thread = thread

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._thread.run(self._answer(request))

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        async with self._thread.async_client() as client:
            answer = await client.request(
                request.method, request.url, content=request.read(), headers=request.headers
            )
            return httpx2.Response(
                answer.status_code, headers=answer.headers, content=answer.content
            )
