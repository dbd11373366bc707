"""Options that a server and a router have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sglite.config_fields import option
from sglite.config_group import OptionGroup


@dataclass(frozen=True, kw_only=True)
class ListenOptions(OptionGroup):
    """Where HTTP is listened for, who may call, and how patient the listener is."""

    host: str = option("127.0.0.1")
    """Address to listen on. Any other than this machine's own needs a key."""
    port: int = option(30000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one and says which."""
    api_key: str | None = option(None, is_secret=True)
    """Key that callers must send as `Authorization: Bearer KEY`. Rather use the environment or
    api_key_file: other users of the machine see command lines."""
    api_key_file: str | None = option(None)
    """File with one key per line, all of them valid."""
    admin_api_key: str | None = option(None, is_secret=True)
    """Key for the control routes (flush, abort all, profile); unset: from this machine only."""
    admin_api_key_file: str | None = option(None)
    """File with one admin key per line."""
    allow_unauthenticated: bool = option(False)
    """Listen on other addresses than this machine's own without any key."""
    ssl_certfile: str | None = option(None, aliases=("ssl-cert-file",))
    """Certificate chain (PEM); with ssl_keyfile the server speaks HTTPS."""
    ssl_keyfile: str | None = option(None, aliases=("ssl-key-file",))
    """Private key (PEM) of the certificate."""
    cors_origins: str | None = option(None)
    """Origins that browsers may call from, with commas between them, or `*`; unset: none."""
    max_connections: int = option(4096, ge=1)
    """Most open connections; more get a 503."""
    keep_alive_timeout_s: float = option(30.0, gt=0)
    """Seconds after which an idle connection is closed."""
    read_timeout_s: float = option(10.0, gt=0)
    """Seconds that a client may take to send the head, and the body, of a request."""
    stall_timeout_s: float = option(30.0, gt=0)
    """Seconds that a streaming client may read nothing before its request is aborted."""
    drain_timeout_s: float = option(30.0, ge=0, aliases=("drain-timeout",))
    """Seconds that running requests have to finish after SIGTERM or Ctrl-C."""
    enable_metrics: bool = option(True)
    """Count requests, tokens and latencies, and serve them at /metrics."""
    log_requests: bool = option(False)
    """Log one line per HTTP call and one per answer, at any log level: route, status, token counts,
    seconds; never prompts."""


@dataclass(frozen=True, kw_only=True)
class LogOptions(OptionGroup):
    """What is logged."""

    log_level: Literal["debug", "info", "warning", "error"] = option("warning")
    """Least level that is logged, to standard error; `debug` narrates every decision of scheduler
    and cache."""
    log_format: Literal["text", "json"] = option("text")
    """`text` is for people, `json` has one object per line."""
