"""Serve a model over HTTP: SGLang's and OpenAI's APIs, on this machine unless told otherwise."""

from __future__ import annotations

import argparse
import signal
import sys

from sglite.cli.output import say, say_on_terminal
from sglite.config import ServerConfig
from sglite.config_flags import add_option_arguments, server_config_from_arguments
from sglite.observability.logging import configure_logging


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Every option is a flag."""
    add_option_arguments(parser, ServerConfig)


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped: 0 after a signal, 1 where the engine failed, 2 for bad options.

    With ``--node-rank`` above 0 compute for the server on machine 0, until that stops.
    """
    # While modules are loaded, Python may lose a KeyboardInterrupt; a process that has nothing to
    # clean up yet can simply end. Serving sets handlers of its own.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    configure_logging(stream=sys.stderr)  # reading the options may warn
    config = server_config_from_arguments(arguments)
    configure_logging(config.log_level, stream=sys.stderr, style=config.log_format)
    if getattr(arguments, "api_key", None) or getattr(arguments, "admin_api_key", None):
        say("a key on the command line can be read by every user of this machine; --api-key-file")
    if config.node_rank > 0:
        from sglite.ranks.node import serve_node

        return serve_node(config.engine_config(), say)
    from sglite.server.launch import serve

    say_on_terminal(f"loading {config.model_path or 'the embedded model'} ...")
    return serve(config, say)
