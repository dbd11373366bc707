"""From options to a running engine, its tokenizer and what its requests may ask for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sglite.config import EngineConfig
from sglite.distributed.layout import RankLayout
from sglite.engine.output_processor import MakeStopChecker
from sglite.errors import ConfigError
from sglite.host.share import WHOLE_MACHINE, HostShare
from sglite.ipc.client import InProcessClient
from sglite.ipc.request_grammars import make_request_grammars
from sglite.observability.events import EventStream
from sglite.parsing.formats import TOOL_FORMATS
from sglite.validation import RequestLimits

if TYPE_CHECKING:
    from pathlib import Path

    from sglite.models.generation_config import GenerationDefaults
    from sglite.models.loader import ModelInfo
    from sglite.models.spec import DecoderSpec
    from sglite.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Started:
    """A running engine as a front sees it. ``config`` has nothing left open; subscribe to
    ``events`` in the engine's thread alone.
    """

    client: InProcessClient
    config: EngineConfig
    tokenizer: Tokenizer | None
    spec: DecoderSpec
    generation_defaults: GenerationDefaults
    limits: RequestLimits
    events: EventStream


def refuse_several_engines(config: EngineConfig) -> None:
    """ConfigError where ``config`` asks for more than the one engine of an ``LLM``, or for a part
    of one that is led from elsewhere."""
    if config.node_rank:
        raise ConfigError(
            f"node_rank is {config.node_rank}: an LLM leads the ranks of all machines, so here it "
            f"is 0. The others run `sglite serve --node-rank {config.node_rank}`."
        )
    if config.dp_size > 1 and not config.enable_dp_attention:
        raise ConfigError(
            f"dp_size is {config.dp_size}: an LLM runs one engine. Several are for `sglite serve "
            f"--dp {config.dp_size}`; leave it out, or add enable_dp_attention with tp_size "
            f"{config.dp_size}."
        )


def start_engine(config: EngineConfig, host: HostShare = WHOLE_MACHINE) -> Started:
    """Load model and tokenizer and start an engine in this process, on its part of the machine.

    Raises ConfigError for options that do not fit together or this machine, ModelLoadError for a
    bad model directory; what can be known before the weights are loaded is checked before.
    """
    from sglite.assembly import assemble_engine
    from sglite.config_resolve import refuse_missing_gpus, resolve
    from sglite.hardware import detect_hardware
    from sglite.models.hub import resolve_model_directory
    from sglite.models.loader import read_model_info
    from sglite.observability.logging import ensure_logging

    ensure_logging(config.log_level, style=config.log_format)
    hardware = detect_hardware()
    config = _on_own_device(resolve(config, hardware), host)
    refuse_missing_gpus(config, hardware)
    source, revision = config.model_source, config.revision
    directory = resolve_model_directory(config.model_path, source=source, revision=revision)
    info = read_model_info(directory)
    tokenizer = None if config.skip_tokenizer_init else _load_tokenizer(config, directory, info)
    events = EventStream()
    if config.log_level == "debug":
        from sglite.observability.narration import Narrator

        events.subscribe(Narrator(tokenizer))
    marks = [mark for form in TOOL_FORMATS.values() for mark in form.markers]
    grammars = make_request_grammars(
        config, tokenizer, vocab_size=info.spec.vocab_size, text_tokens=marks
    )
    parts = assemble_engine(
        config,
        info,
        make_checker=_checkers(tokenizer),
        make_constraint=grammars.make_constraint,
        events=events,
        host=host,
    )
    eos_token_ids = frozenset(info.generation_defaults.eos_token_ids)
    if tokenizer is not None:
        eos_token_ids |= tokenizer.eos_token_ids
    limits = RequestLimits(
        context_length=parts.memory.context_length,
        pool_tokens=parts.memory.num_tokens,
        vocab_size=info.spec.vocab_size,
        eos_token_ids=eos_token_ids,
        options=parts.config,
        model_context_length=info.spec.context_length,
    )
    client = InProcessClient(parts.engine, grammars)
    if parts.team is not None:
        parts.team.links.on_loss(client.fail)
    defaults = info.generation_defaults
    return Started(client, parts.config, tokenizer, info.spec, defaults, limits, events)


def _on_own_device(config: EngineConfig, host: HostShare) -> EngineConfig:
    """With the first GPU of this engine, after those of the engines before it."""
    kind, _, first = config.device.partition(":")
    if kind != "cuda" or host.count == 1:
        return config
    num_before = host.index * RankLayout.of(config).ranks_per_node
    return config.replace(device=f"cuda:{int(first or 0) + num_before}")


def _load_tokenizer(config: EngineConfig, directory: Path, info: ModelInfo) -> Tokenizer:
    from sglite.models.hub import resolve_model_directory
    from sglite.tokenizer import load_tokenizer

    is_own = config.tokenizer_path in (None, config.model_path)
    if not is_own:
        source, revision = config.model_source, config.revision
        directory = resolve_model_directory(config.tokenizer_path, source=source, revision=revision)
    return load_tokenizer(
        directory,
        vocab_size=info.spec.vocab_size,
        chat_template_file=config.chat_template,
        use_transformers=config.tokenizer_mode == "slow",
    )


def _checkers(tokenizer: Tokenizer | None) -> MakeStopChecker:
    if tokenizer is None:
        return lambda sampling: None
    from sglite.tokenizer.stop_checker import StopChecker

    return partial(StopChecker.try_for_request, tokenizer)
