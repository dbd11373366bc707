"""Put one address before several servers, sglite's or SGLang's, on this or other machines."""

from __future__ import annotations

import argparse
import signal
import sys

from sglite.cli.output import say
from sglite.config import RouterConfig
from sglite.config_flags import add_option_arguments, router_config_from_arguments
from sglite.observability.logging import configure_logging


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Every option is a flag."""
    add_option_arguments(parser, RouterConfig)


def run(arguments: argparse.Namespace) -> int:
    """Route until stopped: 0 after a signal, 2 for bad options."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as in `sglite serve`
    configure_logging(stream=sys.stderr)
    config = router_config_from_arguments(arguments)
    configure_logging(config.log_level, stream=sys.stderr, style=config.log_format)
    keys = ("api_key", "admin_api_key", "worker_api_key")
    if any(getattr(arguments, name, None) for name in keys):
        say("a key on the command line can be read by every user of this machine; use a key file")
    from sglite.router_server.launch import serve

    return serve(config, say)
