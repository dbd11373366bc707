"""A front from options, a model's directory and a connected engine; in each HTTP process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sglite.config import ServerConfig
from sglite.ipc.engine_link import EngineLink
from sglite.models.generation_config import GenerationDefaults
from sglite.models.hf_config import HFConfig
from sglite.models.hub import resolve_model_directory
from sglite.server.app import load_protocols
from sglite.server.chat_renderer import ChatRenderer
from sglite.server.front import Front
from sglite.server.peers import Peers
from sglite.server.telemetry.metrics import ServerMetrics
from sglite.server.telemetry.observation import Observation
from sglite.server.telemetry.request_log import RequestLog
from sglite.tokenizer import load_tokenizer
from sglite.validation import RequestLimits

if TYPE_CHECKING:
    from sglite.ipc.messages import Ready
    from sglite.tokenizer import Tokenizer


async def make_front(
    config: ServerConfig,
    directory: Path,
    client: EngineLink,
    wait_ready: Callable[[], Awaitable[Ready]],
    *,
    number: int = 0,
) -> Front:
    """The front of HTTP process ``number``, once the engine is ready.

    What can be loaded meanwhile, is. Raises ModelLoadError, and what ``wait_ready`` raises.
    """
    hf = HFConfig.from_directory(directory)
    defaults = GenerationDefaults.from_directory(directory, hf)
    tokenizer = await asyncio.to_thread(_load_tokenizer, config, directory)
    renderer = None
    if tokenizer is not None and tokenizer.has_chat_template:
        renderer = ChatRenderer(tokenizer.chat_template_sources)
        await renderer.start()
    ready = await wait_ready()
    settled = _settled(config, ready)
    front = Front(
        config=settled,
        engine=client,
        tokenizer=tokenizer,
        limits=_limits(settled, ready),
        generation_defaults=defaults,
        model_directory=str(directory),
        architectures=list(hf.raw.get("architectures") or []),
        renderer=renderer,
        peers=Peers(client, number=number, count=config.api_workers),
    )
    front.observation = _observation(front)
    return front


def _settled(config: ServerConfig, ready: Ready) -> ServerConfig:
    """The options with what the engine settled; paths stay as they were given.

    The number of engines is the server's: each of them knows of itself alone.
    """
    kept = ("model_path", "tokenizer_path", "revision", "dp_size")
    settled = {name: value for name, value in ready.config.items() if name not in kept}
    return ServerConfig(**(config.to_dict() | settled))


def _limits(config: ServerConfig, ready: Ready) -> RequestLimits:
    return RequestLimits(
        context_length=ready.context_length,
        pool_tokens=ready.pool_tokens,
        vocab_size=ready.vocab_size,
        eos_token_ids=frozenset(ready.eos_token_ids),
        options=config,
        model_context_length=ready.model_context_length,
    )


def _load_tokenizer(config: ServerConfig, directory: Path) -> Tokenizer | None:
    if config.skip_tokenizer_init:
        return None
    if config.tokenizer_path not in (None, config.model_path):
        source, revision = config.model_source, config.revision
        directory = resolve_model_directory(config.tokenizer_path, source=source, revision=revision)
    return load_tokenizer(
        directory,
        chat_template_file=config.chat_template,
        use_transformers=config.tokenizer_mode == "slow",
    )


def _observation(front: Front) -> Observation:
    """Counters and log. The labels of the counters are the routes, a closed set."""
    config = front.config
    endpoints = {route.path for module in load_protocols() for route in module.routes(front)}
    return Observation(
        metrics=ServerMetrics(front.served_name, endpoints | {"/metrics", "/openapi.json"}),
        log=RequestLog() if config.log_requests else None,
    )
