"""``sglite serve``, from options to exit code.

check options and keys, bind the port, find the model      nothing is loaded before that
HTTP answers 503 ──── engines' processes load, tokenizer loads ───▶ Front, application
serve until a signal, or until the engine fails            (lifecycle)
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from sglite.config import ServerConfig
from sglite.distributed.layout import RankLayout
from sglite.embedded import EMBEDDED_MODEL_DESCRIPTION
from sglite.models.hub import resolve_model_directory
from sglite.server.api_workers import ApiWorkers
from sglite.server.app import build_app
from sglite.server.engines import Engines, make_engines
from sglite.server.front import Front
from sglite.server.front_factory import make_front
from sglite.server.http.auth import Keys
from sglite.server.lifecycle import Lifecycle, SwitchedApp, make_server
from sglite.server.listen import (
    allow_open_files,
    bind,
    check_exposure,
    check_tls,
    url_of,
)
from sglite.server.warm_prefixes import warm_prefixes

ENGINE_STOP_S = 2.0

logger = logging.getLogger(__name__)

Say = Callable[[str], None]


def serve(config: ServerConfig, say: Say) -> int:
    """Serve until stopped; the exit code of the process. ``say`` takes lines for people.

    Raises ConfigError and ModelLoadError before anything is served, EngineDeadError where the
    engine fails while it starts.
    """
    keys = Keys.from_options(config)
    check_exposure(config, keys)
    check_tls(config)
    RankLayout.of(config)  # what does not fit together is told before anything is started
    allow_open_files(config.max_connections)
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # faults of calls are logged by us
    with contextlib.closing(_listen(config)) as sock:
        directory = _directory(config, config.model_path)
        return uvloop.run(_run(config, directory, sock, say))


async def _run(config: ServerConfig, directory: Path, sock: socket.socket, say: Say) -> int:
    switch = SwitchedApp()
    url = url_of(sock, is_tls=config.ssl_certfile is not None)
    server = make_server(config, switch, num_processes=config.api_workers)
    workers = ApiWorkers(config, directory, sock)
    engines = make_engines(config, _engine_config(config, directory), on_change=workers.tell)
    lifecycle = Lifecycle(server, config, workers)
    front: Front | None = None
    async with lifecycle.signals():
        http = asyncio.ensure_future(server.serve(sockets=[sock]))
        http.add_done_callback(lifecycle.on_http_end)
        try:
            front = await lifecycle.start(_start(config, directory, engines, workers))
            if front is None:
                return lifecycle.exit_code
            switch.app = build_app(front)
            warm = asyncio.ensure_future(warm_prefixes(front))
            say(ready_line(front, url))
            settle_memory()
            code = await lifecycle.serve(front)
            warm.cancel()
            return code
        finally:
            server.should_exit = True
            await asyncio.gather(http, return_exceptions=True)
            await workers.stop()
            if front is not None and front.renderer is not None:
                await front.renderer.stop()
            # One that still loads does not hear the word to stop.
            await engines.stop(0.0 if front is None else ENGINE_STOP_S)


async def _start(
    config: ServerConfig, directory: Path, engines: Engines, workers: ApiWorkers
) -> Front:
    """The engines and, meanwhile, everything that stands before them."""
    client = await engines.start()
    await workers.start(engines.paths)
    front = await make_front(config, directory, client, engines.wait_ready)
    await workers.wait_ready()
    return front


def ready_line(front: Front, url: str) -> str:
    """What a person wants to know once it runs."""
    config, ready = front.config, front.engine.ready
    model = config.served_model_name or config.model_path or "the embedded model"
    started = "" if ready is None else f", ready after {ready.startup_s:.1f} s"
    size = f"context {front.limits.context_length:,} tokens"
    if front.engine.heals:
        size = f"{len(front.engine.engines)} engines, {size}"
    line = f"{url} serves {model}: {size}{started}"
    if config.model_path is None:
        line += f"\n{EMBEDDED_MODEL_DESCRIPTION}; another one: sglite serve --model DIR_OR_HUB_ID"
    return line


def _listen(config: ServerConfig) -> socket.socket:
    return bind(config.host, config.port, is_shared=config.api_workers > 1)


def _directory(config: ServerConfig, model: str | None) -> Path:
    return resolve_model_directory(model, source=config.model_source, revision=config.revision)


def _engine_config(config: ServerConfig, directory: Path) -> Any:
    """The engine's options; what was found, and maybe downloaded, is not looked for again."""
    engine = config.engine_config()
    found: dict[str, Any] = {}
    if config.model_path is not None:
        found["model_path"] = str(directory)
    if config.tokenizer_path is not None:
        found["tokenizer_path"] = str(_directory(config, config.tokenizer_path))
    return engine.replace(**found)


def settle_memory() -> None:
    """What start-up made stays: the collector need not look at it again."""
    gc.collect()
    gc.freeze()
