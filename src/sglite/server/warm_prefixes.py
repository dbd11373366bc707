"""``--warm-prefix``: prompts whose KV is computed before anybody asks, one after the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sglite.errors import RequestError, SgliteError
from sglite.observability.logging import log_event
from sglite.request import SamplingParams

if TYPE_CHECKING:
    from sglite.ipc.engine_link import EngineLink
    from sglite.server.front import Front

SEPARATOR = "||"

logger = logging.getLogger(__name__)


async def warm_prefixes(front: Front) -> int:
    """Compute the prefixes of the option into every engine's cache; how many could be.

    One that cannot is logged, by its number, and left out. They are prefilled in chunks like any
    prompt, so that running requests go on meanwhile. An engine that comes later gets them then.
    """
    texts = [text for text in (front.config.warm_prefix or "").split(SEPARATOR) if text]
    tasks: set[asyncio.Task[int]] = set()

    def begin(number: int) -> None:
        engine = front.engine.engines.get(number)
        if engine is not None:
            task = asyncio.ensure_future(_warm_all(front, texts, [engine]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    if texts:
        front.engine.on_join.append(begin)
    return await _warm_all(front, texts, list(front.engine.engines.values()))


async def _warm_all(front: Front, texts: Sequence[str], engines: Sequence[EngineLink]) -> int:
    num_warmed = 0
    for number, text in enumerate(texts):
        try:
            counts = await asyncio.gather(*(_warm(front, text, engine) for engine in engines))
        except SgliteError as error:
            log_event(
                logger, logging.WARNING, "warm_prefix_failed", number=number, cause=str(error)
            )
        else:
            num_warmed += 1
            log_event(logger, logging.INFO, "prefix_warmed", number=number, tokens=max(counts))
    return num_warmed


async def _warm(front: Front, text: str, engine: EngineLink) -> int:
    if front.tokenizer is None:
        raise RequestError("there is no tokenizer (skip_tokenizer_init)")
    sampling = SamplingParams(max_new_tokens=0, temperature=0.0)
    stream = front.answer(front.open_prompt(front.tokenizer.encode(text), sampling), engine)
    try:
        done = await stream.collect()
    finally:
        stream.close()
    return done[0].num_prompt_tokens
