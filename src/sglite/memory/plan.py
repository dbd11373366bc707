"""The size of the KV pool, as arithmetic over the spec, the options and the memory there is.

    pool = min(fraction x (available - weights - activations), max_running_requests x context)

``available`` is the smaller of what the machine has free and what the container may still take.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from sglite.errors import ConfigError
from sglite.kvcache.kv_pool import KVPool, kv_dtype_name
from sglite.memory.facts import MemoryFacts, read_memory_facts
from sglite.memory.units import amount
from sglite.models.packed_weights import quantized_bytes
from sglite.models.quantization import Quantization
from sglite.models.spec import DecoderSpec

DEFAULT_FRACTION = {"cpu": 0.5, "mps": 0.5}
DEVICE_FRACTION = 0.9  # of other devices, whose memory nobody else uses
FLOAT32_BYTES = 4
ATTENTION_QUERY_BLOCK = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """Where the memory goes; all ``*_bytes`` are bytes, of one rank.

    Every KV group gets ``num_pages`` pages of ``page_size`` tokens, so ``kv_bytes_per_token`` sums
    over all layers. ``left_bytes`` is what is available after weights and activations.
    ``bound_by`` names what limited the pool: ``memory``, ``max_running_requests`` or
    ``max_total_tokens``.
    """

    weights_bytes: int
    activation_bytes: int
    available_bytes: int
    left_bytes: int
    memory_bound_by: str
    fraction: float
    kv_bytes_per_token: int
    page_size: int
    num_pages: int
    bound_by: str
    context_length: int
    max_running_requests: int
    weights_dtype: str
    dtype: str
    kv_dtype: str

    @property
    def kv_bytes_per_page(self) -> int:
        """Bytes of one page in all layers."""
        return self.kv_bytes_per_token * self.page_size

    @property
    def wanted_tokens(self) -> int:
        """Tokens of ``max_running_requests`` full contexts."""
        return self.max_running_requests * self.context_length

    @property
    def num_tokens(self) -> int:
        """Tokens that the pool holds."""
        return self.num_pages * self.page_size

    @property
    def kv_bytes(self) -> int:
        """Bytes of the whole pool."""
        return self.num_pages * self.kv_bytes_per_page

    @property
    def expected_concurrency(self) -> float:
        """Requests of full context length that run together; at most ``max_running_requests``."""
        return min(self.num_tokens / self.context_length, float(self.max_running_requests))

    @property
    def tokens_per_request(self) -> int:
        """Tokens that each request can have when ``max_running_requests`` run together."""
        return min(self.num_tokens // self.max_running_requests, self.context_length)


def plan_memory(
    spec: DecoderSpec,
    *,
    context_length: int | None = None,
    concurrency: int = 256,
    dtype: torch.dtype = torch.bfloat16,
    quantization: Quantization | None = None,
    kv_dtype: torch.dtype | None = None,
    page_size: int = 16,
    fraction: float | None = None,
    max_total_tokens: int | None = None,
    prefill_tokens: int = ATTENTION_QUERY_BLOCK,
    device: str = "cpu",
    tp_size: int = 1,
    weights_loaded: bool = False,
    facts: MemoryFacts | None = None,
) -> MemoryPlan:
    """Divide the memory of one rank.

    ``context_length`` None is the model's; ``concurrency`` is ``max_running_requests``;
    ``quantization`` is that of the weights, None: they have ``dtype``; ``kv_dtype`` None is
    ``dtype``; ``fraction`` None the device's default. ``prefill_tokens`` is the largest chunk.
    ``weights_loaded`` says that ``facts`` were read after the weights were.
    ConfigError where not even one page fits, saying which number to change and to what.
    """
    context_length = context_length or spec.context_length
    facts = facts or read_memory_facts()
    weights = spec.num_parameters * dtype.itemsize // tp_size
    if quantization is not None:
        weights = quantized_bytes(spec, quantization)
    activations = activation_bytes(
        spec, dtype=dtype, rows=concurrency, tokens=prefill_tokens, context_length=context_length
    )
    plan = MemoryPlan(
        weights_bytes=weights,
        activation_bytes=activations,
        available_bytes=facts.available_bytes,
        left_bytes=facts.available_bytes - activations - (0 if weights_loaded else weights),
        memory_bound_by=facts.bound_by,
        fraction=fraction or DEFAULT_FRACTION.get(torch.device(device).type, DEVICE_FRACTION),
        kv_bytes_per_token=kv_bytes_per_token(spec, kv_dtype or dtype, tp_size=tp_size),
        page_size=page_size,
        num_pages=0,
        bound_by="memory",
        context_length=context_length,
        max_running_requests=concurrency,
        weights_dtype=quantization.name if quantization else str(dtype).removeprefix("torch."),
        dtype=str(dtype).removeprefix("torch."),
        kv_dtype=kv_dtype_name(kv_dtype or dtype),
    )
    _refuse_too_little(plan)
    num_pages, bound_by = _pool_pages(plan, max_total_tokens)
    return replace(plan, num_pages=num_pages, bound_by=bound_by)


def kv_bytes_per_token(spec: DecoderSpec, kv_dtype: torch.dtype, *, tp_size: int = 1) -> int:
    """Bytes that K and V of one token take in all layers of one rank."""
    return sum(
        KVPool.bytes_per_page(
            group,
            page_size=1,
            num_kv_heads=max(1, spec.num_kv_heads // tp_size),
            head_dim=spec.head_dim,
            dtype=kv_dtype,
        )
        for group in spec.kv_groups()
    )


def activation_bytes(
    spec: DecoderSpec, *, dtype: torch.dtype, rows: int, tokens: int, context_length: int
) -> int:
    """An upper estimate of what a step needs besides weights and pool.

    The larger of a prefill chunk of ``tokens`` (hidden states, q, k, v, the MLP, keys and values of
    one layer gathered for one full context, a mask) and the sampling of ``rows`` rows (logits in
    their own type, in float32, and one working copy).
    """
    qkv_size = (spec.num_attention_heads + 2 * spec.num_kv_heads) * spec.head_dim
    per_token = dtype.itemsize * (
        4 * spec.hidden_size + 3 * qkv_size + 3 * spec.intermediate_size
    ) + 2 * FLOAT32_BYTES * (spec.hidden_size)
    gathered = 2 * context_length * spec.num_kv_heads * spec.head_dim * dtype.itemsize
    mask = min(tokens, ATTENTION_QUERY_BLOCK) * context_length * FLOAT32_BYTES
    sampling = rows * spec.vocab_size * (dtype.itemsize + 2 * FLOAT32_BYTES)
    return max(tokens * per_token + gathered + mask, sampling)


def _pool_pages(plan: MemoryPlan, max_total_tokens: int | None) -> tuple[int, str]:
    """Pages of the pool and what bounds them."""
    left, page_bytes = plan.left_bytes, plan.kv_bytes_per_page
    if max_total_tokens is not None:
        pages = math.ceil(max_total_tokens / plan.page_size)
        if pages * page_bytes > left:
            raise ConfigError(
                f"max_total_tokens {max_total_tokens:,} needs a KV pool of"
                f" {amount(pages * page_bytes)}; {amount(left)} are left."
                f" Lower it to {left // page_bytes * plan.page_size:,}."
            )
        return pages, "max_total_tokens"
    wanted = math.ceil(plan.wanted_tokens / plan.page_size)
    fitting = int(left * plan.fraction) // page_bytes
    return (fitting, "memory") if fitting < wanted else (wanted, "max_running_requests")


def _refuse_too_little(plan: MemoryPlan) -> None:
    """ConfigError where not one page fits, with the number to change."""
    left, weights, page_bytes = plan.left_bytes, plan.weights_bytes, plan.kv_bytes_per_page
    if int(left * plan.fraction) >= page_bytes:
        return
    has = f"{amount(plan.available_bytes)} of memory are available"
    if left + plan.activation_bytes + weights == plan.available_bytes < weights:
        raise ConfigError(
            f"the weights need {amount(weights)} in {plan.weights_dtype}, but {has}. Free"
            f" {amount(weights - plan.available_bytes)}, or choose a smaller model, dtype or"
            " quantization."
        )
    page = f"one page of {_tokens(plan.page_size)} ({amount(page_bytes)})"
    if left < page_bytes:
        raise ConfigError(
            f"weights {amount(weights)}, activations {amount(plan.activation_bytes)} and {page} do"
            f" not fit: {has}. Free {amount(page_bytes - left)}, or lower max_running_requests"
            f" ({plan.max_running_requests:,}) or context_length ({plan.context_length:,})."
        )
    needed = math.ceil(page_bytes / left * 1000) / 1000
    raise ConfigError(
        f"mem_fraction_static {plan.fraction:g} of the {amount(left)} left after the weights is"
        f" less than {page}. Raise it to {needed:g} or more."
    )


def _tokens(number: int) -> str:
    return "1 token" if number == 1 else f"{number:,} tokens"
