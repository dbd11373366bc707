"""The memory plan of a configured engine: what start-up obeys and ``sglite plan`` prints."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from sglite.config import EngineConfig
from sglite.config_values import device_type
from sglite.distributed.layout import RankLayout
from sglite.errors import ConfigError
from sglite.host.share import HostShare
from sglite.kvcache.kv_pool import resolve_kv_dtype
from sglite.memory.facts import MemoryFacts, read_gpu_memory, read_memory_facts
from sglite.memory.memory_plan import MemoryPlan
from sglite.memory.plan import plan_memory
from sglite.models.layers.parallel import ModelShare
from sglite.models.quantization import Quantization
from sglite.models.weight_dtype import natural_kv_dtype

if TYPE_CHECKING:
    from sglite.models.hf_config import HFConfig
    from sglite.models.loader import ModelInfo

ALL_OF_THE_HOST = HostShare()
LARGEST_PLANNED_CHUNK = 2048
"""Prompt tokens of a step that activations are planned for where the budget is a time."""


def kv_dtype_for_config(
    config: EngineConfig, hf_config: HFConfig, activations: torch.dtype
) -> torch.dtype:
    """The type of the KV pool's numbers with ``activations`` of that type."""
    natural = natural_kv_dtype(config.dtype, hf_config.dtype, activations)
    return resolve_kv_dtype(config.kv_cache_dtype, natural)


def plan_for_config(
    config: EngineConfig,
    info: ModelInfo,
    *,
    facts: MemoryFacts | None = None,
    host_share: HostShare = ALL_OF_THE_HOST,
) -> MemoryPlan:
    """Divide the memory for a resolved ``config`` and the model of ``info``.

    The plan is of the rank that has room for the fewest pages, for all have as many. With
    DP-attention each has its part of ``max_running_requests`` and of ``max_total_tokens``.
    ``facts``, None asks the device, are of a GPU or of the host, whose free memory is divided among
    the processes of ``host_share`` that hold none yet. On a GPU this is the check before
    the weights are loaded; ``plan_measured`` follows when they are.
    Raises ConfigError where the context exceeds the model's, not even one page fits, or the ranks
    do not fit the model.
    """
    plans = plans_of_stages(config, info, facts=facts, host_share=host_share)
    return min(plans, key=lambda each: (each.num_pages, -each.weights_bytes))


def plans_of_stages(
    config: EngineConfig,
    info: ModelInfo,
    *,
    facts: MemoryFacts | None = None,
    host_share: HostShare = ALL_OF_THE_HOST,
) -> list[MemoryPlan]:
    """What a rank of each pipeline stage has room for; as :func:`plan_for_config`."""
    context_length = config.context_length or info.spec.context_length
    if context_length > info.spec.context_length:
        raise ConfigError(
            f"context_length is {context_length:,}; the model in {info.directory} is made for "
            f"{info.spec.context_length:,} (max_position_embeddings). Lower it to that or less."
        )
    is_gpu = device_type(config.device) == "cuda"
    if facts is None:
        facts = read_gpu_memory(config.device) if is_gpu else read_memory_facts()
    if not is_gpu:
        facts = replace(facts, available_bytes=facts.available_bytes // host_share.num_memory_parts)
    layout, dtype = RankLayout.of(config), info.dtype(config.dtype, device=config.device)
    total, lanes = config.max_total_tokens, layout.num_lanes
    plan = partial(
        plan_memory,
        info.spec,
        context_length=context_length,
        concurrency=-(-config.max_running_requests // lanes),
        dtype=dtype,
        kv_dtype=kv_dtype_for_config(config, info.hf_config, dtype),
        quantization=Quantization.of(config.quantization, config.quantization_group_size),
        page_size=config.page_size,
        fraction=config.mem_fraction_static,
        max_total_tokens=None if total is None else -(-total // lanes),
        prefill_tokens=_largest_step(config, context_length),
        graph_rows=config.cuda_graph_max_bs if is_gpu else 0,
        graph_tokens=config.cuda_graph_max_tokens if is_gpu else 0,
        facts=facts,
        device=config.device,
    )
    # The ranks of a stage have equally much.
    ranks = [layout.ranks_of_stage(stage)[0] for stage in range(layout.pp_size)]
    shares = [ModelShare.of(layout, rank, info.spec.num_layers) for rank in ranks]
    return [plan(share=share) for share in shares]


def _largest_step(config: EngineConfig, context_length: int) -> int:
    """Prompt tokens of the step that activations are planned for."""
    chunk = config.chunked_prefill_size or LARGEST_PLANNED_CHUNK
    if chunk < 0:
        return context_length
    # A GPU's chunk is full as soon as prompts wait; on the CPU a second one is rare.
    return chunk if device_type(config.device) == "cuda" else min(context_length, chunk)
