"""Puts together an engine whose ranks are lanes: DP-attention."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from sglite.config import EngineConfig
from sglite.engine.engine import Engine
from sglite.engine.output_processor import MakeConstraint, MakeStopChecker, OutputProcessor
from sglite.executors.lane_executor import LaneExecutor
from sglite.executors.pools import make_pool
from sglite.grammar.masks import MaskFiller
from sglite.kvcache.cache_manager import CacheManager
from sglite.lanes.laned_engine import DeferredExecutor, LanedEngine
from sglite.models.decoder import Decoder
from sglite.models.loader import LoadedModel
from sglite.observability.events import EventStream
from sglite.ranks.joint_ranks import JointRanks
from sglite.scheduler.scheduler import Scheduler

if TYPE_CHECKING:
    from sglite.ranks.leadership import Leadership


def lane_config(config: EngineConfig) -> EngineConfig:
    """One lane's part of what bounds the requests of the engine, at least 1 of each."""
    bounds = ("max_running_requests", "max_queued_requests", "max_queued_tokens")
    parts = {name: -(-getattr(config, name) // config.tp_size) for name in bounds}
    return dataclasses.replace(config, max_in_flight=1, **parts)


def make_lane_executor(
    config: EngineConfig, model: LoadedModel, num_pages: int, *, lane: int
) -> LaneExecutor:
    """What carries out the plans of one lane, with a KV pool of its own requests alone."""
    assert isinstance(model.model, Decoder), "several ranks compute with torch"
    return LaneExecutor(
        model.model,
        make_pool(config, model, num_pages, config.device),
        lane=lane,
        max_rows=lane_config(config).max_running_requests,
        max_tokens=config.context_length or model.spec.context_length,
        check=config.check,
    )


def build_laned_engine(
    config: EngineConfig,
    model: LoadedModel,
    num_pages: int,
    *,
    leadership: Leadership,
    make_checker: MakeStopChecker,
    make_constraint: MakeConstraint,
    events: EventStream,
) -> LanedEngine:
    """An engine over a loaded share of the model, with ``num_pages`` pages per group and lane."""
    groups, options = model.spec.kv_groups(), lane_config(config)
    lanes = []
    for lane in range(config.tp_size):
        cache = CacheManager(groups, [num_pages] * len(groups), options, events)
        scheduler = Scheduler(options, options, cache, events, seed=config.random_seed + lane)
        masks = MaskFiller(model.spec.vocab_size)
        processor = OutputProcessor(make_checker, make_constraint, masks)
        lanes.append(Engine(scheduler, DeferredExecutor(), processor, check=config.check))
    own = make_lane_executor(config, model, num_pages, lane=0)
    return LanedEngine(lanes, JointRanks(own, leadership.team, num_groups=len(groups)))
