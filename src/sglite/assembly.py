"""Puts an engine together: model, KV pool, executor, cache, scheduler."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from sglite.config import EngineConfig
from sglite.config_values import device_type
from sglite.device import Device
from sglite.distributed.layout import RankLayout
from sglite.engine.engine import Engine
from sglite.engine.output_processor import MakeConstraint, MakeStopChecker, OutputProcessor
from sglite.errors import ConfigError
from sglite.executors.device_assembly import (
    make_ready_executor,
    measure_memory,
    open_device,
)
from sglite.executors.executor import Executor
from sglite.executors.pools import make_pool
from sglite.executors.replay_executor import ReplayExecutor
from sglite.executors.stage_executor import ReplayStageExecutor, StageExecutor
from sglite.executors.step_agreement import StepAgreement
from sglite.executors.threaded_executor import ThreadedExecutor
from sglite.executors.torch_executor import TorchExecutor
from sglite.grammar.masks import MaskFiller
from sglite.host.compute_threads import settle_threads
from sglite.host.share import WHOLE_MACHINE, HostShare
from sglite.kernels import cpu
from sglite.kvcache.cache_manager import CacheManager
from sglite.kvcache.kv_pool import KVPool
from sglite.lanes.laned_engine import AnyEngine
from sglite.memory import (
    MemoryPlan,
    explain_out_of_memory,
    plan_for_config,
    plan_measured,
)
from sglite.models.compiled import compile_layers
from sglite.models.decoder import Decoder
from sglite.models.layers.parallel import ModelShare
from sglite.models.loader import LoadedModel, ModelInfo, load_model
from sglite.models.quantization import Quantization
from sglite.models.replayed_decoder import ReplayedDecoder, why_not_replayed
from sglite.models.spec import DecoderSpec
from sglite.models.weight_cache import WeightCache
from sglite.observability.events import EventStream
from sglite.scheduler.scheduler import Scheduler

if TYPE_CHECKING:  # with one rank there is nothing to say to others, and no need of what says it
    from sglite.ranks.leadership import Leadership
    from sglite.ranks.rank_team import RankTeam
    from sglite.ranks.seat import Seat

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineParts:
    """An engine and what its front must know of it. ``config`` has nothing left open.

    ``team`` are the engine's other ranks, if any; the executor closes it.
    """

    engine: AnyEngine
    config: EngineConfig
    model: LoadedModel
    memory: MemoryPlan
    team: RankTeam | None = None


def assemble_engine(
    config: EngineConfig,
    info: ModelInfo,
    *,
    make_checker: MakeStopChecker,
    events: EventStream,
    make_constraint: MakeConstraint = lambda setup: None,
    show_progress: bool = True,
    host: HostShare = WHOLE_MACHINE,
) -> EngineParts:
    """Load the model of ``info`` and build an engine around it; start its other ranks, if any.

    ``config`` is resolved. Raises ModelLoadError for a bad checkpoint and ConfigError where the
    memory does not suffice, before any large allocation, RankLostError where a rank fails.
    """
    layout = RankLayout.of(config)
    memory = plan_share(config, info, host.part(0, layout.ranks_per_node))
    config = dataclasses.replace(config, context_length=memory.context_length)
    config = _without_unsound_sharing(config, info.spec)
    leadership = None
    if layout.num_ranks > 1:
        from sglite.ranks.leadership import Leadership

        leadership = Leadership.begin(config, layout, info.directory, host)
    try:
        parts = _assemble(
            config,
            info,
            memory,
            leadership,
            make_checker=make_checker,
            make_constraint=make_constraint,
            events=events,
            show_progress=show_progress,
        )
    except BaseException:
        if leadership is not None:
            leadership.team.kill()  # one that loads would not hear a farewell
        raise
    _log_ready(parts, info)
    return parts


def _assemble(
    config: EngineConfig,
    info: ModelInfo,
    memory: MemoryPlan,
    leadership: Leadership | None,
    *,
    make_checker: MakeStopChecker,
    make_constraint: MakeConstraint,
    events: EventStream,
    show_progress: bool,
) -> EngineParts:
    """Our share of the model, and the engine around it; the other ranks come along."""
    team, share = None, ModelShare()
    if leadership is not None:
        team, share = leadership.team, leadership.seat.model_share(info.spec.num_layers)
        memory = _settled(memory, team.settle("planned", memory.num_pages))
    model = load_share(config, info, share, show_progress=show_progress)
    device = None
    if team is not None:
        memory = _settled(memory, team.settle("loaded", memory.num_pages))
    if device_type(config.device) == "cuda":
        device = open_device(config.device)
        _compile(config, model)
        memory = _measure(config, model, device, memory, team)
    config = dataclasses.replace(config, max_total_tokens=memory.num_tokens)
    making: dict[str, Any] = {
        "make_checker": make_checker, "make_constraint": make_constraint, "events": events
    }  # fmt: skip
    if leadership is not None and config.enable_dp_attention:
        lanes = leadership.build_lanes(config, model, memory.num_pages, **making)
        leadership.team.settle("ready", memory.num_pages)
        return EngineParts(lanes, config, model, memory, team)
    engine = build_engine(
        config,
        model,
        memory.num_pages,
        **making,
        device=device,
        leadership=leadership,
        explain_out_of_memory=lambda error: explain_out_of_memory(error, memory),
        show_progress=show_progress,
    )
    if team is not None:
        team.settle("ready", memory.num_pages)
    return EngineParts(engine, config, model, memory, team)


def _measure(
    config: EngineConfig,
    model: LoadedModel,
    device: Device,
    estimate: MemoryPlan,
    team: RankTeam | None,
) -> MemoryPlan:
    """``estimate`` with what was measured, on all ranks at once, as their steps need each other."""
    if team is None:
        return plan_on_device(config, model, device, estimate)
    memory = team.watched(lambda: plan_on_device(config, model, device, estimate))
    return _settled(memory, team.settle("measured", memory.num_pages))


def _settled(memory: MemoryPlan, num_pages: int) -> MemoryPlan:
    """``memory`` with as many pages as all ranks have room for."""
    return dataclasses.replace(memory, num_pages=num_pages)


def _log_ready(parts: EngineParts, info: ModelInfo) -> None:
    memory = parts.memory
    fields = {
        "architecture": info.spec.architecture,
        "dtype": memory.dtype,
        "kv_dtype": memory.kv_dtype,
        "weights_bytes": parts.model.num_bytes,
        "activation_bytes": memory.activation_bytes,
        "graph_bytes": memory.graph_bytes,
        "kv_tokens": memory.num_tokens,
        "context_length": memory.context_length,
    }
    if parts.team is not None:
        fields["ranks"] = RankLayout.of(parts.config).num_ranks
    logger.info("engine_ready", extra={"fields": fields})


def plan_share(config: EngineConfig, info: ModelInfo, host: HostShare) -> MemoryPlan:
    """The memory of a rank that has ``host`` of this machine; its threads are settled as well.

    Raises ConfigError where the memory does not suffice.
    """
    memory = plan_for_config(config, info, host_share=host)
    if config.device == "cpu":
        settle_threads(config.cpu_cores, host_share=host)
    return memory


def load_share(
    config: EngineConfig, info: ModelInfo, share: ModelShare, *, show_progress: bool
) -> LoadedModel:
    """What a rank holds of the model, to be computed with in the same way on all of them."""
    return load_model(
        info.directory,
        dtype=config.dtype,
        device=config.device,
        load_format=config.load_format,
        share=share,
        instruction_set=_choose_kernels(config, info, share),
        quantization=Quantization.of(config.quantization, config.quantization_group_size),
        weight_cache=WeightCache.of(config.weight_cache),
        deterministic=config.deterministic,
        show_progress=show_progress,
    )


def _compile(config: EngineConfig, model: LoadedModel) -> None:
    """As the options ask; a compiler would undo what makes products deterministic.

    Nor can it look into what several ranks exchange.
    """
    if config.enable_torch_compile and not config.deterministic and model.share.is_whole:
        assert isinstance(model.model, Decoder), "compiled CPU kernels on a GPU"
        compile_layers(model.model)


def plan_on_device(
    config: EngineConfig, model: LoadedModel, device: Device, estimate: MemoryPlan
) -> MemoryPlan:
    """``estimate`` with what a step and graphs really take. ConfigError where that is too much."""
    try:
        measured = measure_memory(config, model, device)
    except (MemoryError, torch.cuda.OutOfMemoryError) as error:
        raise ConfigError(explain_out_of_memory(error, estimate)) from error
    return plan_measured(estimate, measured)


def make_executor(
    config: EngineConfig,
    model: LoadedModel,
    pool: KVPool,
    agreement: StepAgreement | None = None,
) -> Executor:
    """What carries out the plans of an engine with this model, or of a rank's share of it."""
    max_rows, check = config.max_running_requests, config.check
    max_tokens = config.context_length or model.spec.context_length
    sizes = {"max_rows": max_rows, "max_tokens": max_tokens}
    if isinstance(model.model, ReplayedDecoder):
        return ReplayExecutor(model.model, pool, check=check, agreement=agreement, **sizes)
    return TorchExecutor(model.model, pool, check=check, agreement=agreement, **sizes)


def make_share_executor(
    config: EngineConfig,
    model: LoadedModel,
    num_pages: int,
    seat: Seat,
    *,
    device: Device | None = None,
    **device_options: Any,
) -> Executor:
    """What carries out one rank's share of the plans, with a KV pool of its own.

    With a ``device`` it feeds that; ``device_options`` are of ``make_ready_executor``.
    """
    if device is not None:
        return make_ready_executor(config, model, num_pages, device, **device_options)
    pool = make_pool(config, model, num_pages, config.device)
    agreement = seat.agreement(config.max_running_requests, torch.device(config.device))
    if config.pp_size == 1:
        return make_executor(config, model, pool, agreement)
    is_replayed = isinstance(model.model, ReplayedDecoder)
    kind = ReplayStageExecutor if is_replayed else StageExecutor
    return kind(
        model.model,
        pool,
        seat.stage_links(),
        agreement,
        max_rows=config.max_running_requests,
        max_tokens=config.context_length or model.spec.context_length,
        check=config.check,
    )


def _choose_kernels(config: EngineConfig, info: ModelInfo, share: ModelShare) -> str | None:
    """Instruction set of the compiled CPU kernels for this share; None: torch. Says why not."""
    if config.device != "cpu" or config.cpu_kernels == "torch":
        return None
    instruction_set = cpu.choose(config.cpu_kernels)
    dtype = info.dtype(config.dtype, device=config.device)
    reason = cpu.why_missing() or why_not_replayed(
        info.spec, dtype, page_size=config.page_size, share=share
    )
    if reason is None:
        return instruction_set
    fields = {"cpu_kernels": "torch", "reason": reason, "lost": "several times the speed"}
    logger.warning("option_settled", extra={"fields": fields})
    if config.deterministic:
        fields = {"option": "deterministic (torch alone does not keep to it)"}
        logger.warning("option_without_effect", extra={"fields": fields})
    return None


def _without_unsound_sharing(config: EngineConfig, spec: DecoderSpec) -> EngineConfig:
    """``config`` with the prefix cache off where the keys of a prefix are not its own alone."""
    rope, context_length = spec.rope, config.context_length or spec.context_length
    is_sound = not rope.depends_on_length or context_length <= rope.original_context_length
    if is_sound or config.disable_radix_cache:
        return config
    reason = (
        f"with {rope.rope_type} rope scaling, keys beyond {rope.original_context_length} tokens "
        "depend on the length of their sequence; a context_length up to that keeps the cache"
    )
    fields = {"disable_radix_cache": True, "reason": reason}
    logger.warning("option_settled", extra={"fields": fields})
    return dataclasses.replace(config, disable_radix_cache=True)


def _make_engine_executor(
    config: EngineConfig,
    model: LoadedModel,
    num_pages: int,
    device: Device | None,
    leadership: Leadership | None,
    **device_options: Any,
) -> Executor:
    """What carries out the plans of the engine in this process."""
    if leadership is not None:
        seat = leadership.seat
        return leadership.lead(
            lambda: make_share_executor(
                config, model, num_pages, seat, device=device, **device_options
            ),
            is_late=device is not None,
            drawn_within_s=config.pp_size * config.dist_timeout_s,
        )
    if device is not None:
        return make_ready_executor(config, model, num_pages, device, **device_options)
    executor = make_executor(config, model, make_pool(config, model, num_pages, config.device))
    return executor if config.max_in_flight == 1 else ThreadedExecutor(executor)


def build_engine(
    config: EngineConfig,
    model: LoadedModel,
    num_pages: int,
    *,
    make_checker: MakeStopChecker,
    events: EventStream,
    make_constraint: MakeConstraint = lambda setup: None,
    device: Device | None = None,
    leadership: Leadership | None = None,
    explain_out_of_memory: Callable[[BaseException], str] = str,
    show_progress: bool = False,
) -> Engine:
    """An engine over a loaded model, with ``num_pages`` KV pages per group.

    With a ``device`` its executor feeds that, and graphs are captured here unless they are to be
    when they are needed; otherwise the host computes. With ``leadership`` it is one of several
    ranks.
    """
    executor = _make_engine_executor(
        config, model, num_pages, device, leadership,
        explain_out_of_memory=explain_out_of_memory, show_progress=show_progress,
    )  # fmt: skip
    groups = model.spec.kv_groups()
    cache = CacheManager(groups, [num_pages] * len(groups), config, events)
    scheduler = Scheduler(
        config, config, cache, events, seed=config.random_seed, num_stages=config.pp_size
    )
    return Engine(
        scheduler,
        executor,
        OutputProcessor(make_checker, make_constraint, MaskFiller(model.spec.vocab_size)),
        max_in_flight=config.max_in_flight,
        check=config.check,
    )
