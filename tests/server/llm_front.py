"""The server's front over a real model in this process."""

from __future__ import annotations

import asyncio
from typing import Any

from sglite import LLM
from sglite.config import ServerConfig
from sglite.embedded import EMBEDDED_MODEL_DIR
from sglite.request import OutputBatch, Request
from sglite.server.front import Front
from tests.server.fake_engine import Receiver


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
        config=ServerConfig(page_size=llm.config.page_size, **options),
        engine=LoopEngine(llm),
        tokenizer=llm.tokenizer,
        limits=llm._limits,
        generation_defaults=llm.generation_defaults,
        model_directory=str(EMBEDDED_MODEL_DIR),
        architectures=["Qwen3ForCausalLM"],
    )
