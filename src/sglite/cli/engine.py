"""Starts the engine of a command: options, log, banner, ``LLM``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from sglite.cli.output import say_on_terminal
from sglite.config import EngineConfig
from sglite.config_flags import config_from_arguments
from sglite.embedded import EMBEDDED_MODEL_DESCRIPTION
from sglite.observability.logging import configure_logging

if TYPE_CHECKING:
    from sglite.llm import LLM


def read_config(arguments: argparse.Namespace, **defaults: Any) -> EngineConfig:
    """The options of a command over its own ``defaults``, and the log set up as they say."""
    configure_logging(stream=sys.stderr)  # reading the options may warn
    config = config_from_arguments(arguments, **defaults)
    configure_logging(config.log_level, stream=sys.stderr, style=config.log_format)
    return config


def open_llm(config: EngineConfig) -> LLM:
    """The engine for these options; says so where the embedded model stands in."""
    if config.model_path is None:
        say_on_terminal(f"{EMBEDDED_MODEL_DESCRIPTION} (--model DIR or a hub id takes another one)")
    options = config.to_dict()
    return make_llm(options.pop("model_path"), options)


def make_llm(model: str | None, options: dict[str, Any]) -> LLM:
    """Load the engine. Tests put a fake in its place."""
    from sglite.llm import LLM

    return LLM(model, **options)


def has_chat_template(llm: LLM) -> bool:
    """True where the model's messages are written by a template."""
    return llm.tokenizer is not None and llm.tokenizer.has_chat_template
