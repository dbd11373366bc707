"""A last look at a request before the engine takes it (R11).

The front has checked everything; a frame that was damaged and still decodes must not end the
engine, for which a token id beyond the vocabulary would be enough.
"""

from __future__ import annotations

import math

from sglite.errors import RequestError
from sglite.request import Request
from sglite.validation import (
    RequestLimits,
    validate_logprob_params,
    validate_sampling_params,
    validate_token_ids,
)

INT32 = range(-(1 << 31), 1 << 31)
INT64 = range(-(1 << 63), 1 << 63)
MAX_NAME_CHARACTERS = 4096


def check_request(request: Request, limits: RequestLimits) -> None:
    """Raise RequestError unless the engine can run ``request``."""
    sampling, prompt = validate_sampling_params(request.sampling), request.prompt_token_ids
    room = limits.max_tokens - len(prompt)
    if not prompt or room < 1 or not 0 <= request.max_new_tokens <= room:
        raise RequestError(
            f"{len(prompt):,} prompt tokens and max_new_tokens {request.max_new_tokens:,} do not "
            f"fit {limits.max_tokens:,}",
            param="prompt",
        )
    ids = {
        "prompt": prompt,
        "stop_token_ids": sampling.stop_token_ids,
        "logit_bias": list(sampling.logit_bias or ()),
    }
    for field, values in ids.items():
        validate_token_ids(values, vocab_size=limits.vocab_size, field=field)
    if request.logprobs is not None:
        validate_logprob_params(
            request.logprobs, num_prompt_tokens=len(prompt), vocab_size=limits.vocab_size
        )
    _check_traits(request, limits)


def _check_traits(request: Request, limits: RequestLimits) -> None:
    names = (request.request_id, request.namespace, request.group_id or "")
    sound = {
        "request_id": bool(request.request_id),
        "names": max(map(len, names)) <= MAX_NAME_CHARACTERS,
        "eos_token_ids": request.eos_token_ids <= limits.eos_token_ids,
        "seed": request.seed in INT64,
        "priority": request.priority in INT32,
        "deadline_s": math.isfinite(request.deadline_s or 0.0),
        "key_ids": request.key_ids is None or len(request.key_ids) == len(request.prompt_token_ids),
    }
    for field, is_sound in sound.items():
        if not is_sound:
            raise RequestError(f"{field} is not what an engine can use", param=field)
