"""From checked parameters and a prompt to the requests that the scheduler takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from sglite.config import RequestOptions
from sglite.errors import RequestError
from sglite.request import LogprobParams, Request, SamplingParams, Thinking
from sglite.validation.fields import (
    INT32_MAX,
    integer,
    integers,
    number,
    shown,
    token_ids,
)
from sglite.validation.sampling_params import validate_sampling_params

MAX_TOP_LOGPROBS = 20
MAX_CHOSEN_LOGPROBS = 128

_UINT64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """What fits this engine.

    ``context_length`` and ``pool_tokens`` count tokens; ``vocab_size`` is the width of the logits
    and must not exceed the rows of the embedding. ``options`` may be a whole EngineConfig.
    ``model_context_length`` is what the model was made for, None where that is not known; where
    ``context_length`` is less, messages advise to raise it.
    """

    context_length: int
    pool_tokens: int
    vocab_size: int
    eos_token_ids: frozenset[int] = frozenset()
    options: RequestOptions = field(default_factory=RequestOptions)
    model_context_length: int | None = None

    @property
    def can_raise_context(self) -> bool:
        """True where the model is made for more than ``context_length``."""
        return self.context_length < (self.model_context_length or 0)

    @property
    def max_tokens(self) -> int:
        """Most tokens of a sequence. The last one is never computed, so it needs no KV slot."""
        return min(self.context_length, self.pool_tokens + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTraits:
    """What a caller may add to a request; the fields of Request of the same names."""

    key_ids: Sequence[int] | None = None
    namespace: str = ""
    priority: int = 0
    deadline_s: float | None = None
    pin_prefix: bool = False
    is_streamed: bool = False
    thinking: Thinking | None = None
    session: str | None = None


def build_requests(
    request_id: str,
    prompt_token_ids: Sequence[int],
    sampling: SamplingParams | None = None,
    logprobs: LogprobParams | None = None,
    *,
    limits: RequestLimits,
    server_seed: int,
    counter: int,
    traits: RequestTraits | None = None,
) -> list[Request]:
    """Check everything and make the ``n`` requests of one prompt.

    They are named ``request_id``, or ``request_id-0`` and so on with ``group_id`` for n > 1. The
    seed of sample 0 is ``sampling_seed``, or comes from ``server_seed`` and ``counter``, a number
    that the caller never uses twice; those of the other samples follow from it. Raises
    RequestError; its ``param`` names the field.
    """
    sampling = validate_sampling_params(sampling or SamplingParams())
    traits = _checked_traits(traits or RequestTraits())
    prompt = _fitting_prompt(prompt_token_ids, limits)
    max_new_tokens = _fitting_max_new_tokens(sampling, len(prompt), limits)
    validate_token_ids(
        sampling.stop_token_ids, vocab_size=limits.vocab_size, field="stop_token_ids"
    )
    bias_ids = list(sampling.logit_bias or ())
    validate_token_ids(bias_ids, vocab_size=limits.vocab_size, field="logit_bias")
    if logprobs is not None:
        logprobs = validate_logprob_params(
            logprobs, num_prompt_tokens=len(prompt), vocab_size=limits.vocab_size
        )
    seed = sampling.sampling_seed
    if seed is None:
        seed = _derived_seed(server_seed, counter)
    first = Request(
        request_id=request_id,
        prompt_token_ids=prompt,
        sampling=sampling,
        logprobs=logprobs,
        seed=seed,
        eos_token_ids=limits.eos_token_ids,
        max_new_tokens=max_new_tokens,
        key_ids=None if traits.key_ids is None else traits.key_ids[: len(prompt)],
        namespace=traits.namespace,
        priority=traits.priority,
        deadline_s=traits.deadline_s,
        pin_prefix=traits.pin_prefix,
        is_streamed=traits.is_streamed,
        thinking=traits.thinking,
        session=traits.session,
    )
    return [first] if sampling.n == 1 else _fan_out(first, sampling.n)


def _fan_out(request: Request, num_samples: int) -> list[Request]:
    return [
        dataclasses.replace(
            request,
            request_id=f"{request.request_id}-{i}",
            group_id=request.request_id,
            seed=request.seed if i == 0 else _derived_seed(request.seed, i),
        )
        for i in range(num_samples)
    ]


def validate_token_ids(ids: Sequence[int], *, vocab_size: int, field: str) -> None:
    """Raise RequestError unless ``ids`` is a sequence of integers in [0, vocab_size)."""
    if isinstance(ids, (str, bytes, dict)) or not isinstance(ids, Sequence):
        raise RequestError(f"{field} must be a list of integers, got {shown(ids)}", param=field)
    token_ids(field, ids, vocab_size=vocab_size)


def validate_logprob_params(
    params: LogprobParams, *, num_prompt_tokens: int, vocab_size: int
) -> LogprobParams:
    """Checked log-probability wishes; errors carry the names of SGLang's fields."""
    start_len = params.start_len
    if start_len is not None:
        start_len = integer("logprob_start_len", start_len, ge=0, le=num_prompt_tokens)
    ids = integers(
        "token_ids_logprob", params.token_ids, max_items=MAX_CHOSEN_LOGPROBS, ge=0, le=INT32_MAX
    )
    validate_token_ids(ids, vocab_size=vocab_size, field="token_ids_logprob")
    top_num = integer("top_logprobs_num", params.top_num, ge=0, le=MAX_TOP_LOGPROBS)
    return LogprobParams(start_len=start_len, top_num=min(top_num, vocab_size), token_ids=ids)


def _checked_traits(traits: RequestTraits) -> RequestTraits:
    integer("priority", traits.priority, ge=-INT32_MAX - 1, le=INT32_MAX)
    if traits.deadline_s is not None:
        number("deadline_s", traits.deadline_s)
    return traits


def _fitting_prompt(prompt: Sequence[int], limits: RequestLimits) -> Sequence[int]:
    """The prompt, whose tail goes where ``allow_auto_truncate`` lets it."""
    field = "prompt"
    if not isinstance(prompt, Sequence) or not len(prompt):
        validate_token_ids(prompt, vocab_size=limits.vocab_size, field=field)
        raise RequestError("the prompt is empty; send at least one token", param=field)
    longest = limits.max_tokens - 1
    if len(prompt) > longest and not limits.options.allow_auto_truncate:
        raise RequestError(_too_long(len(prompt), limits), param=field)
    prompt = prompt[:longest] if len(prompt) > longest else prompt
    validate_token_ids(prompt, vocab_size=limits.vocab_size, field=field)
    return prompt


def _too_long(num_tokens: int, limits: RequestLimits) -> str:
    what = f"prompt has {num_tokens:,} tokens"
    if num_tokens >= limits.context_length:
        advice = f" or start with {_larger_context(limits)}" if limits.can_raise_context else ""
        return (
            f"{what}; this engine fits {limits.context_length:,} (context_length), prompt and "
            f"output. Shorten it{advice}."
        )
    return (
        f"{what}; the KV pool of this engine fits {limits.pool_tokens:,}. Shorten it or start with "
        "--max-total-tokens or --mem-fraction-static."
    )


def _larger_context(limits: RequestLimits) -> str:
    return f"a larger --context-length (the model is made for {limits.model_context_length:,})"


def _fitting_max_new_tokens(
    sampling: SamplingParams, num_prompt_tokens: int, limits: RequestLimits
) -> int:
    """The output's limit, clipped where an option says so and refused otherwise."""
    room = limits.max_tokens - num_prompt_tokens
    asked = sampling.max_new_tokens
    if asked is not None and asked <= room:
        return asked
    if asked is None:
        if sampling.min_new_tokens > room:
            raise RequestError(
                f"min_new_tokens is {sampling.min_new_tokens:,}; after the prompt of "
                f"{num_prompt_tokens:,} tokens {room:,} fit",
                param="min_new_tokens",
            )
        return room
    if limits.options.allow_auto_truncate:
        return room
    if limits.options.aggressive_max_new_tokens:
        return max(1, room - limits.options.max_context_margin)
    raise RequestError(_too_much_output(num_prompt_tokens, asked, limits), param="max_new_tokens")


def _too_much_output(num_prompt_tokens: int, asked: int, limits: RequestLimits) -> str:
    total = num_prompt_tokens + asked
    what = f"prompt ({num_prompt_tokens:,} tokens) and max_new_tokens ({asked:,}) make {total:,}"
    if total > limits.context_length:
        larger = f"{_larger_context(limits)} or " if limits.can_raise_context else ""
        return (
            f"{what}; this engine fits {limits.context_length:,} (context_length). Lower "
            f"max_new_tokens, or start with {larger}--allow-auto-truncate."
        )
    return (
        f"{what}; the KV pool of this engine fits {limits.max_tokens:,}. Lower max_new_tokens, or "
        "start with --max-total-tokens, --mem-fraction-static or --allow-auto-truncate."
    )


def _derived_seed(seed: int, index: int) -> int:
    """An int64 that looks random, distinct for each index (SplitMix64, a bijection)."""
    x = (seed * 0xD1342543DE82EF95 + (index + 1) * 0x9E3779B97F4A7C15) & _UINT64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _UINT64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _UINT64
    x ^= x >> 31
    return x - (1 << 64) if x >= 1 << 63 else x
