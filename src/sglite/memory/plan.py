"""The size of the KV pool, as arithmetic over the spec, the options and the memory there is.

What the sizes are to each other is written in ``memory_plan.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from sglite.kvcache.kv_pool import KVPool, kv_dtype_name
from sglite.memory.facts import MemoryFacts, read_memory_facts
from sglite.memory.memory_plan import MemoryPlan
from sglite.memory.refusal import refuse_tokens, refuse_too_little
from sglite.models.decoder import weights_bytes
from sglite.models.layers.parallel import ModelShare
from sglite.models.packed_weights import quantized_bytes
from sglite.models.quantization import Quantization
from sglite.models.spec import DecoderSpec

DEFAULT_FRACTION = {"cpu": 0.5, "mps": 0.5}
DEVICE_FRACTION = 0.9  # of other devices, whose memory nobody else uses
FLOAT32_BYTES = 4
ATTENTION_QUERY_BLOCK = 512
WHOLE_MODEL = ModelShare()


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
    graph_rows: int = 0,
    graph_tokens: int = 0,
    device: str = "cpu",
    share: ModelShare = WHOLE_MODEL,
    facts: MemoryFacts | None = None,
) -> MemoryPlan:
    """Divide the memory of one rank, which has ``share`` of the model.

    ``context_length`` None is the model's; ``concurrency`` is ``max_running_requests``;
    ``quantization`` is that of the weights, None: they have ``dtype``; ``kv_dtype`` None is
    ``dtype``; ``fraction`` None the device's default. ``prefill_tokens`` is the largest chunk,
    ``graph_rows`` and ``graph_tokens`` the largest CUDA graphs of decode and of prefill.
    ``facts`` from before the weights are loaded; None asks the machine.
    ConfigError where not even one page fits, saying which number to change and to what.
    """
    context_length, facts = context_length or spec.context_length, facts or read_memory_facts()
    chunk = prefill_bytes(
        spec, dtype=dtype, tokens=prefill_tokens, context_length=context_length, share=share
    )
    sampling = sampling_bytes(spec, dtype=dtype, rows=concurrency, share=share)
    graphs = graph_bytes(spec, dtype=dtype, rows=graph_rows, tokens=graph_tokens, share=share)
    follows = "chunked_prefill_size" if chunk > sampling else "max_running_requests"
    return with_pool(
        MemoryPlan(
            device=device,
            weights_bytes=_weights_bytes(spec, dtype, quantization, share),
            graph_bytes=graphs,
            activation_bytes=max(chunk, sampling),
            activations_follow=follows,
            total_bytes=facts.total_bytes,
            available_bytes=facts.available_bytes,
            memory_bound_by=facts.bound_by,
            fraction=fraction or DEFAULT_FRACTION.get(torch.device(device).type, DEVICE_FRACTION),
            kv_bytes_per_token=kv_bytes_per_token(spec, kv_dtype or dtype, share),
            page_size=page_size,
            num_pages=0,
            bound_by="memory",
            max_total_tokens=max_total_tokens,
            context_length=context_length,
            max_running_requests=concurrency,
            prefill_tokens=prefill_tokens,
            cuda_graph_max_bs=graph_rows,
            weights_dtype=quantization.name if quantization else _name(dtype),
            dtype=_name(dtype),
            kv_dtype=kv_dtype_name(kv_dtype or dtype),
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredMemory:
    """What an executor measured after the weights were loaded, with nothing else of it on the GPU.

    ``free_bytes`` of ``total_bytes`` are free then. ``graph_bytes`` is what all captured graphs
    take together, ``activation_bytes`` the peak of the largest step beyond weights, pool and
    graphs.
    """

    total_bytes: int
    free_bytes: int
    weights_bytes: int
    graph_bytes: int
    activation_bytes: int


def plan_measured(estimate: MemoryPlan, measured: MeasuredMemory) -> MemoryPlan:
    """``estimate`` again, with what was measured in place of what was estimated. Pure.

    ConfigError where one page, or one request of the full context, does not fit.
    """
    return with_pool(
        replace(
            estimate,
            total_bytes=measured.total_bytes,
            available_bytes=measured.free_bytes + measured.weights_bytes,
            weights_bytes=measured.weights_bytes,
            graph_bytes=measured.graph_bytes,
            activation_bytes=measured.activation_bytes,
            memory_bound_by="device",
            is_measured=True,
        )
    )


def with_pool(plan: MemoryPlan) -> MemoryPlan:
    """``plan`` with the pages of its pool and what bounds them; ConfigError as above."""
    refuse_too_little(plan)
    if plan.max_total_tokens is not None:
        pages = math.ceil(plan.max_total_tokens / plan.page_size)
        refuse_tokens(plan, pages)
        return replace(plan, num_pages=pages, bound_by="max_total_tokens")
    wanted = math.ceil(plan.wanted_tokens / plan.page_size)
    fitting = plan.pool_limit_bytes // plan.kv_bytes_per_page
    if fitting < wanted:
        return replace(plan, num_pages=fitting, bound_by="memory")
    return replace(plan, num_pages=wanted, bound_by="max_running_requests")


def _weights_bytes(
    spec: DecoderSpec, dtype: torch.dtype, quantization: Quantization | None, share: ModelShare
) -> int:
    if quantization is not None:
        return quantized_bytes(spec, quantization, share)
    if share.is_whole:
        return spec.num_parameters * dtype.itemsize
    return weights_bytes(spec, dtype, share)


def kv_bytes_per_token(
    spec: DecoderSpec, kv_dtype: torch.dtype, share: ModelShare = WHOLE_MODEL
) -> int:
    """Bytes that K and V of one token take in all layers of one rank."""
    return sum(
        KVPool.bytes_per_page(
            group,
            page_size=1,
            num_kv_heads=share.tp.kv_heads(spec.num_kv_heads)[1],
            head_dim=spec.head_dim,
            dtype=kv_dtype,
            layers=share.layers,
        )
        for group in spec.kv_groups()
    )


def prefill_bytes(
    spec: DecoderSpec,
    *,
    dtype: torch.dtype,
    tokens: int,
    context_length: int,
    share: ModelShare = WHOLE_MODEL,
) -> int:
    """An upper estimate of what a chunk of ``tokens`` needs besides weights and pool.

    Hidden states, q, k, v, the MLP, keys and values of one layer gathered for one full context, a
    mask.
    """
    num_kv_heads = share.tp.kv_heads(spec.num_kv_heads)[1]
    gathered = 2 * context_length * num_kv_heads * spec.head_dim * dtype.itemsize
    mask = min(tokens, ATTENTION_QUERY_BLOCK) * context_length * FLOAT32_BYTES
    return tokens * _bytes_per_token(spec, dtype, share) + gathered + mask


def sampling_bytes(
    spec: DecoderSpec, *, dtype: torch.dtype, rows: int, share: ModelShare = WHOLE_MODEL
) -> int:
    """The same of sampling ``rows`` rows: logits in their own type, in float32, a working copy.

    With several ranks the first has their parts as well as the whole.
    """
    copies = 1 if share.tp.size == 1 else 2
    return rows * spec.vocab_size * (copies * dtype.itemsize + 2 * FLOAT32_BYTES)


def graph_bytes(
    spec: DecoderSpec,
    *,
    dtype: torch.dtype,
    rows: int,
    tokens: int,
    share: ModelShare = WHOLE_MODEL,
) -> int:
    """An estimate of what CUDA graphs hold: all share the temporaries of the largest.

    ``rows`` are the single tokens of the largest decode graph, ``tokens`` those of prefill.
    """
    token = _bytes_per_token(spec, dtype, share)
    sampling = sampling_bytes(spec, dtype=dtype, rows=rows, share=share)
    return max(rows * token + sampling, tokens * token)


def _bytes_per_token(spec: DecoderSpec, dtype: torch.dtype, share: ModelShare) -> int:
    """Hidden states, q, k, v and the MLP of one token, with float32 for what is summed.

    With lanes each token of ours comes with one of each other lane in the MLP.
    """
    num_heads = share.tp.split(spec.num_attention_heads, "num_attention_heads")
    qkv_size = (num_heads + 2 * share.tp.kv_heads(spec.num_kv_heads)[1]) * spec.head_dim
    ffn, hidden = share.mlp.padded_split(spec.intermediate_size), 4 * spec.hidden_size
    if share.has_lanes:
        ffn, hidden = ffn * share.mlp.size, hidden + 2 * share.mlp.size * spec.hidden_size
    narrow = hidden + 3 * qkv_size + 3 * ffn
    return dtype.itemsize * narrow + 2 * FLOAT32_BYTES * spec.hidden_size


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
