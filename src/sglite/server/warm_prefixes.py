"""``--warm-prefix``: prompts whose KV is computed before anybody asks, one after the other."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sglite.errors import RequestError, SgliteError
from sglite.observability.logging import log_event
from sglite.request import SamplingParams

if TYPE_CHECKING:
    from sglite.server.front import Front

SEPARATOR = "||"

logger = logging.getLogger(__name__)


async def warm_prefixes(front: Front) -> int:
    """Compute the prefixes of the option into the cache; how many could be.

    One that cannot is logged, by its number, and left out. They are prefilled in chunks like any
    prompt, so that running requests go on meanwhile.
    """
    texts = (front.config.warm_prefix or "").split(SEPARATOR)
    num_warmed = 0
    for number, text in enumerate(each for each in texts if each):
        try:
            num_tokens = await _warm(front, text)
        except SgliteError as error:
            log_event(
                logger, logging.WARNING, "warm_prefix_failed", number=number, cause=str(error)
            )
        else:
            num_warmed += 1
            log_event(logger, logging.INFO, "prefix_warmed", number=number, tokens=num_tokens)
    return num_warmed


async def _warm(front: Front, text: str) -> int:
    if front.tokenizer is None:
        raise RequestError("there is no tokenizer (skip_tokenizer_init)")
    sampling = SamplingParams(max_new_tokens=0, temperature=0.0)
    stream = front.answer(front.open_prompt(front.tokenizer.encode(text), sampling))
    try:
        done = await stream.collect()
    finally:
        stream.close()
    return done[0].num_prompt_tokens
