"""Puts together what carries plans out on a GPU, and measures what that takes of its memory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from sglite.attention.backend import AttentionShape, Kind
from sglite.attention.choose import (
    AttentionFacts,
    Backends,
    choose_backends,
    installed_backends,
    make_backend,
)
from sglite.config import EngineConfig
from sglite.device import Device
from sglite.executors.decode_graphs import graph_sizes
from sglite.executors.device_executor import DeviceExecutor, GroupBackends
from sglite.executors.pools import make_pool
from sglite.kvcache.groups import KVGroup
from sglite.kvcache.kv_pool import KVPool
from sglite.memory import MeasuredMemory
from sglite.models.decoder import Decoder
from sglite.models.load_progress import load_progress
from sglite.models.piecewise_decoder import PiecewiseDecoder
from sglite.request import SamplingParams
from sglite.scheduler.plan import RowSetup, StepPlan

if TYPE_CHECKING:
    from sglite.models.loader import LoadedModel
    from sglite.models.spec import DecoderSpec

logger = logging.getLogger(__name__)


def open_device(name: str) -> Device:
    """The GPU of that name, ``cuda:0`` and so on."""
    from sglite.device.cuda import CudaDevice

    return CudaDevice(torch.device(name).index or 0)


def make_device_pool(
    config: EngineConfig, model: LoadedModel, num_pages: int, device: Device
) -> KVPool:
    """``num_pages`` pages per KV group on ``device``, and a spare one."""
    return make_pool(config, model, num_pages, device.torch_device, has_spare_page=True)


def make_device_executor(
    config: EngineConfig,
    model: LoadedModel,
    pool: KVPool,
    device: Device,
    *,
    explain_out_of_memory: Callable[[BaseException], str] = str,
) -> DeviceExecutor:
    """An executor over a pool of :func:`make_device_pool`; no graph is captured yet.

    Raises ConfigError where an attention backend cannot run here.
    """
    decoder = model.model
    assert isinstance(decoder, Decoder), "compiled CPU kernels on a GPU"
    max_tokens = config.context_length or decoder.spec.context_length
    pieces = None
    if config.cuda_graph_max_tokens:
        most = config.cuda_graph_max_tokens
        pieces = PiecewiseDecoder(decoder, device, pool, max_tokens=most, context_length=max_tokens)
    chosen = _choose(config, decoder, pool)
    executor = DeviceExecutor(
        decoder,
        pool,
        device,
        [_backends(config, decoder, group, chosen, device) for group in pool.groups],
        max_rows=config.max_running_requests,
        max_tokens=max_tokens,
        graph_sizes=graph_sizes(config.cuda_graph_max_bs),
        pieces=pieces,
        check=config.check,
        explain_out_of_memory=explain_out_of_memory,
    )
    if config.cuda_graph_max_bs and not executor.graphs.sizes:
        reason = (
            f"{chosen.decode} attention, or a rotation that follows the length, is not captured"
        )
        fields = {"option": f"cuda_graph_max_bs ({reason})"}
        logger.warning("option_without_effect", extra={"fields": fields})
    # Weights, pool and tables were filled on torch's own stream.
    device.synchronize()
    return executor


def make_ready_executor(
    config: EngineConfig,
    model: LoadedModel,
    num_pages: int,
    device: Device,
    *,
    explain_out_of_memory: Callable[[BaseException], str] = str,
    show_progress: bool = False,
) -> DeviceExecutor:
    """An executor with a pool of ``num_pages`` pages per KV group.

    Graphs are captured here, unless they are to be when they are needed; ranks do it together.
    """
    pool = make_device_pool(config, model, num_pages, device)
    executor = make_device_executor(
        config, model, pool, device, explain_out_of_memory=explain_out_of_memory
    )
    if config.cuda_graph_capture == "start":
        capture_graphs(executor, show_progress=show_progress)
    return executor


def capture_graphs(executor: DeviceExecutor, *, show_progress: bool) -> None:
    """Capture all graphs, the largest first, behind a progress bar."""
    pieces = executor.pieces
    count = len(executor.graphs.sizes) + (len(pieces.buckets) if pieces is not None else 0)
    with load_progress(count, show=show_progress, what="recording CUDA graphs") as advance:
        executor.graphs.capture_all(advance)
        if pieces is not None:
            pieces.capture_all(advance)


def _choose(config: EngineConfig, decoder: Decoder, pool: KVPool) -> Backends:
    """The attention backends for this model and device; logs why."""
    on = pool.storage[0].device
    is_foreign = on.type != "cuda" or torch.version.hip is not None
    facts = AttentionFacts(
        device_type=on.type,
        capability=None if is_foreign else torch.cuda.get_device_capability(on),
        installed=installed_backends(),
        head_dim=decoder.spec.head_dim,
        dtype=decoder.dtype,
        kv_dtype=pool.dtype,
        deterministic=config.deterministic,
    )
    chosen = choose_backends(
        config.attention_backend,
        facts,
        prefill=config.prefill_attention_backend,
        decode=config.decode_attention_backend,
    )
    for kind, reason in chosen.reasons.items():
        fields = {f"{kind}_attention_backend": reason}
        logger.info("option_settled", extra={"fields": fields})
    return chosen


def _backends(
    config: EngineConfig, decoder: Decoder, group: KVGroup, chosen: Backends, device: Device
) -> GroupBackends:
    spec = decoder.spec
    shape = AttentionShape(
        num_heads=decoder.tp.split(spec.num_attention_heads, "num_attention_heads"),
        num_kv_heads=decoder.num_kv_heads,
        head_dim=spec.head_dim,
        page_size=config.page_size,
        dtype=decoder.dtype,
        scale=spec.attention_scale,
        softcap=spec.attention_softcap,
        window=group.window,
    )
    names: dict[Kind, str] = {"decode": chosen.decode, "prefill": chosen.prefill}
    made = {
        kind: make_backend(
            name,
            kind,
            shape,
            device.torch_device,
            max_seq_len=config.context_length or spec.context_length,
            num_multiprocessors=device.num_multiprocessors,
            deterministic=config.deterministic,
        )
        for kind, name in names.items()
    }
    return GroupBackends(made["decode"], made["prefill"])


def measure_memory(config: EngineConfig, model: LoadedModel, device: Device) -> MeasuredMemory:
    """Run the largest step and capture the largest graphs over a small pool, and give it all back.

    The ranks that share ``model`` do it together.
    Raises torch.cuda.OutOfMemoryError, or MemoryError, where not even that fits.
    """
    device.release()
    free_bytes, total_bytes = device.memory()
    plan, num_pages = largest_step(config, model.spec)
    pool = make_device_pool(config, model, num_pages, device)
    executor = make_device_executor(config, model, pool, device)
    handle = executor.launch(plan)
    executor.sample(handle)
    executor.collect(handle)
    del handle
    # With the step's temporaries go the buffers that the executor holds all the time.
    activation_bytes = free_bytes - pool.num_bytes - device.memory()[0]
    graph_bytes = _measure_graphs(executor, device)
    del executor, pool
    device.forget_graphs()
    device.release()
    return MeasuredMemory(
        total_bytes=total_bytes,
        free_bytes=free_bytes,
        weights_bytes=model.num_bytes,
        graph_bytes=graph_bytes,
        activation_bytes=max(0, activation_bytes),
    )


def _measure_graphs(executor: DeviceExecutor, device: Device) -> int:
    """Bytes of all graphs, from the largest of each sort and one more.

    Graphs share the memory of their tensors, which the largest takes; each has some of its own.
    """
    device.release()  # a capture would, and hide what it takes
    total, left = 0, device.memory()[0]

    def taken_by(capture: Callable[[], object]) -> int:
        nonlocal left
        capture()
        device.release()
        before, left = left, device.memory()[0]
        return max(0, before - left)

    sizes, pieces = executor.graphs.sizes, executor.pieces
    if sizes:
        total += taken_by(lambda: executor.graphs.capture(sizes[-1]))
    if len(sizes) > 1:
        total += (len(sizes) - 1) * taken_by(lambda: executor.graphs.capture(sizes[-2]))
    if pieces is not None and pieces.buckets:
        total += len(pieces.buckets) * taken_by(lambda: pieces.capture(pieces.buckets[-1]))
    return total


def largest_step(config: EngineConfig, spec: DecoderSpec) -> tuple[StepPlan, int]:
    """The step that takes most memory, and the pages that it needs.

    As many prompt tokens as a step may have, of as many requests as may run, all of them sampled.
    """
    context_length = config.context_length or spec.context_length
    num_groups = len(spec.kv_groups())
    chunk = config.chunked_prefill_size or context_length
    num_tokens = chunk if chunk > 0 else context_length
    num_runs = min(config.max_running_requests, num_tokens)
    plan = StepPlan(1, num_groups)
    num_pages = 0
    for row in range(num_runs):
        length = min(context_length, num_tokens // num_runs + (row < num_tokens % num_runs))
        pages = list(range(num_pages, num_pages + -(-length // config.page_size)))
        num_pages += len(pages)
        plan.added_rows.append(_setup(row, (pages,) * num_groups))
        plan.run_lengths.append(length)
        plan.token_ids += [0] * length
    plan.run_rows = plan.sample_runs = list(range(num_runs))
    plan.run_starts, plan.run_continues = [0] * num_runs, [False] * num_runs
    return plan, num_pages


def _setup(row: int, page_ids: tuple[list[int], ...]) -> RowSetup:
    return RowSetup(
        row=row,
        request_id=f"measured-{row}",
        sampling=SamplingParams(temperature=0.0),
        logprobs=None,
        seed=0,
        stop_token_ids=(),
        num_prompt_tokens=1,
        page_ids=page_ids,
        output_token_ids=[],
    )
