"""Settles what options leave open, once, from facts about the machine.

The type of the weights and the context length wait for the checkpoint, the size of the KV pool for
both; this settles the rest.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from sglite.config import EngineConfig
from sglite.config_fields import option_fields
from sglite.errors import ConfigError

CPU_MEM_FRACTION = 0.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareFacts:
    """What ``resolve`` knows of the machine."""

    has_mps: bool = False


def detect_hardware() -> HardwareFacts:
    """The facts of this machine; imports torch."""
    import torch

    return HardwareFacts(has_mps=torch.backends.mps.is_available())


@dataclass(frozen=True, slots=True)
class Choice:
    """One settled option and why."""

    option: str
    value: Any
    reason: str


def resolve(config: EngineConfig, hardware: HardwareFacts) -> EngineConfig:
    """A new config with nothing left open but ``dtype``, ``context_length`` and the pool's size.

    Logs each choice with its reason. ConfigError where the machine lacks what an option asks for.
    """
    if config.device == "mps" and not hardware.has_mps:
        raise ConfigError("device: 'mps' is not available on this machine; give cpu or auto")
    choices = open_choices(config)
    for choice in choices:
        # The rest is what anybody expects; an accelerator that stays idle is not.
        surprises = choice.option == "device" and hardware.has_mps
        logger.log(
            logging.INFO if surprises else logging.DEBUG,
            "option_settled",
            extra={"fields": {choice.option: choice.value, "reason": choice.reason}},
        )
    for pointless in contradictions(config):
        logger.warning("option_without_effect", extra={"fields": {"option": pointless}})
    config = config.replace(**{choice.option: choice.value for choice in choices})
    if config.device != "cpu" and config.kv_cache_dtype in ("int8", "fp8_e4m3"):
        raise ConfigError(
            f"kv_cache_dtype: {config.kv_cache_dtype!r} is for device cpu, and device is "
            f"{config.device!r}; give auto, float32 or bfloat16"
        )
    return config


def open_choices(config: EngineConfig) -> list[Choice]:
    """What is settled, in the order of the options. Pure."""
    choices = []
    if config.tokenizer_path is None and config.model_path is not None:
        choices.append(Choice("tokenizer_path", config.model_path, "it comes with the model"))
    if config.num_pages is not None:
        num_tokens = config.num_pages * config.page_size
        reason = f"num_pages is {config.num_pages} and a page has {config.page_size} tokens"
        choices.append(Choice("max_total_tokens", num_tokens, reason))
    if config.device == "auto":
        reason = "mps is used only when asked for"
        choices.append(Choice("device", "cpu", reason))
    if config.mem_fraction_static is None:
        reason = "other programs share the memory of a CPU"
        choices.append(Choice("mem_fraction_static", CPU_MEM_FRACTION, reason))
    return choices


def contradictions(config: EngineConfig) -> list[str]:
    """Options that were given and that another option makes pointless, in words. Pure."""
    found = []
    limits = ("radix_cache_max_tokens", "radix_cache_max_entries", "radix_cache_max_prompt_tokens")
    if config.disable_radix_cache:
        given = [name for name in limits if getattr(config, name) is not None]
        found += [f"{name} (disable_radix_cache is set)" for name in given]
    default_itl_ms = option_fields(EngineConfig)["target_itl_ms"].default
    if config.chunked_prefill_size is not None and config.target_itl_ms != default_itl_ms:
        found.append("target_itl_ms (chunked_prefill_size is set)")
    if config.num_pages is not None and config.max_total_tokens is not None:
        found.append("max_total_tokens (num_pages is set)")
    if config.skip_tokenizer_init and config.chat_template is not None:
        found.append("chat_template (skip_tokenizer_init is set)")
    return found
