"""The HTTP application and the engine's side of the socket, over the model that notices foreign KV.

async with FakeModelServer(num_pages=400) as server:
    answer = await server.ask({"input_ids": [1, 2, 3]})
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from sglite.config import EngineConfig, ServerConfig
from sglite.config_resolve import resolve
from sglite.embedded import EMBEDDED_MODEL_DIR
from sglite.engine.engine import Engine
from sglite.engine.output_processor import OutputProcessor
from sglite.hardware import HardwareFacts
from sglite.ipc.client import InProcessClient
from sglite.ipc.engine_server import EngineServer
from sglite.ipc.messages import PROTOCOL_VERSION, Ready
from sglite.ipc.operations import EngineSide
from sglite.ipc.private_directory import (
    listen_in,
    make_private_directory,
    remove_private_directory,
    socket_path,
)
from sglite.ipc.process_client import ProcessClient
from sglite.ipc.profiling import StepProfiler
from sglite.kvcache.cache_manager import CacheManager
from sglite.models.generation_config import GenerationDefaults
from sglite.observability.events import EventStream
from sglite.scheduler.scheduler import Scheduler
from sglite.server.app import build_app
from sglite.server.front import Front
from sglite.server.native import generate as native_generate
from sglite.validation import RequestLimits
from tests.fakes import EOS, VOCAB, FakeExecutor
from tests.scheduler.simulation import GROUPS
from tests.server.asgi import RawCall


class _Executor(FakeExecutor):
    def close(self) -> None:
        """Nothing to stop."""


class FakeModelServer:
    """A front, a socket, an engine's thread; prompts and answers are token ids."""

    def __init__(self, *, num_pages: int, page_size: int = 4, **options: Any) -> None:
        config = EngineConfig(page_size=page_size, **{"chunked_prefill_size": 32, **options})
        config = resolve(config, HardwareFacts())
        spec, stream = GROUPS["full"], EventStream()
        self.cache = CacheManager(spec, [num_pages] * len(spec), config, stream)
        self.engine = Engine(
            Scheduler(config, config, self.cache, stream, seed=7),
            _Executor(spec, num_pages, page_size),  # type: ignore[arg-type]
            OutputProcessor(lambda _: None),
            max_in_flight=config.max_in_flight,
            check=config.check,
        )
        self._pool_tokens = num_pages * page_size
        self._limits = RequestLimits(
            context_length=self._pool_tokens,
            pool_tokens=self._pool_tokens,
            vocab_size=VOCAB,
            eos_token_ids=frozenset({EOS}),
        )

    async def __aenter__(self) -> FakeModelServer:
        self._directory = make_private_directory()
        self._in_process = InProcessClient(self.engine)
        self._server = EngineServer(listen_in(self._directory))
        self._server.start()
        side = EngineSide(self.engine, StepProfiler(EventStream()))
        self._server.serve(self._in_process, self._limits, side, self._ready())
        self.client = await ProcessClient.connect(socket_path(self._directory))
        await self.client.wait_ready()
        self.front = Front(
            config=ServerConfig(skip_tokenizer_init=True),
            engine=self.client,
            tokenizer=None,
            limits=self._limits,
            generation_defaults=GenerationDefaults(),
            model_directory=str(EMBEDDED_MODEL_DIR),
            architectures=["Fake"],
        )
        self.app = build_app(self.front, [native_generate])
        return self

    async def __aexit__(self, *_: object) -> None:
        self.client.close()
        self._server.close()
        self._in_process.close()
        remove_private_directory(self._directory)

    def call(self, body: Any, path: str = "/generate", request_id: str | None = None) -> RawCall:
        """Begin a call, whose request id may be the caller's."""
        headers = [] if request_id is None else [(b"x-request-id", request_id.encode())]
        call = RawCall(self.app, path, headers=headers)
        call.push(json.dumps(body).encode())
        return call

    async def ask(self, body: Any, path: str = "/generate", request_id: str | None = None) -> Any:
        """The JSON of the answer to a call that works; None for an empty one."""
        call = self.call(body, path, request_id)
        await call.task
        assert call.status == 200, call.body
        return call.json() if call.body else None

    async def retract_one(self, number: int) -> None:
        """Send one of the running requests back to the queue."""

        def retract(engine: Engine) -> None:
            running = engine.scheduler.batch.running
            if running:
                sequence = running[number % len(running)]
                engine.scheduler.retract(sequence.request_id, "a test wants it")

        await asyncio.wrap_future(self._in_process.begin_call(retract))

    async def wait_until_idle(self) -> None:
        """Wait until nothing lives, then check that nothing was kept but the prefix cache."""
        while self.client.open_count or self.engine.has_work:
            await asyncio.sleep(0.005)
        assert len(self.front.open_calls) == 0
        flush = self._in_process.begin_call(lambda engine: engine.try_flush_cache())
        assert await asyncio.wrap_future(flush)
        assert all(each.num_free == each.num_pages for each in self.cache.allocators)

    def _ready(self) -> Ready:
        return Ready(
            protocol_version=PROTOCOL_VERSION,
            pid=1,
            config={},
            context_length=self._pool_tokens,
            pool_tokens=self._pool_tokens,
            vocab_size=VOCAB,
            model_context_length=self._pool_tokens,
            eos_token_ids=[EOS],
            startup_s=0.1,
        )
