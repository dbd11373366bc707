"""Logs: an event and key=values, coloured on a terminal, or one JSON object per line.

    logger = logging.getLogger(__name__)
    log_event(logger, logging.INFO, "engine_ready", pages=512)

Prompts and answers are never logged above DEBUG.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Any, Literal, TextIO

ROOT = "sglite"
COLOURS = {"DEBUG": "\x1b[2m", "INFO": "\x1b[32m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m"}
RESET = "\x1b[0m"

_bound: ContextVar[dict[str, Any]] = ContextVar("sglite_log_fields", default={})  # noqa: B039


def log_event(logger: logging.Logger, level: int, event: str, /, **fields: Any) -> None:
    """Log ``event`` with its fields; cheap where the level is off."""
    if logger.isEnabledFor(level):
        logger.log(level, event, extra={"fields": fields})


@contextlib.contextmanager
def bound_fields(**fields: Any) -> Iterator[None]:
    """Add fields, such as ``request_id``, to everything logged inside, in this task or thread."""
    token = _bound.set(_bound.get() | fields)
    try:
        yield
    finally:
        _bound.reset(token)


def bound() -> dict[str, Any]:
    """The fields that are bound here, for whoever logs later and elsewhere about the same."""
    return _bound.get()


def configure_logging(
    level: str = "warning",
    *,
    stream: TextIO | None = None,
    style: Literal["text", "json"] = "text",
) -> None:
    """Send the log of sglite to ``stream``, standard output where none is given.

    Calling again replaces the setup.
    """
    target = stream or sys.stdout
    formatter = TextFormatter(coloured=target.isatty()) if style == "text" else JsonFormatter()
    handler = logging.StreamHandler(target)
    handler.setFormatter(formatter)
    logger = logging.getLogger(ROOT)
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


def ensure_logging(level: str, *, style: Literal["text", "json"] = "text") -> None:
    """Log to standard error at ``level``, unless the program or this library set up a log already.

    For ``LLM(...)``: without it Python would show the event of a warning, but not its fields.
    """
    if not logging.getLogger(ROOT).hasHandlers():
        configure_logging(level, stream=sys.stderr, style=style)


class TextFormatter(logging.Formatter):
    """``12:03:11.482 INFO  engine_ready pages=512 model="my model"``."""

    def __init__(self, *, coloured: bool = False) -> None:
        super().__init__()
        self.coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        """One line per record, after it the traceback where there is one."""
        time = _time(record).strftime("%H:%M:%S.%f")[:-3]
        level = f"{record.levelname:<7}"
        if self.coloured:
            level = f"{COLOURS.get(record.levelname, '')}{level}{RESET}"
        fields = [f"{name}={shown(value)}" for name, value in fields_of(record).items()]
        line = " ".join([time, level, plain(record.getMessage()), *fields])
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """``{"time": "2026-11-21T12:03:11.482+00:00", "level": "info", "event": ..., ...}``."""

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object per record; its own keys win over fields of the same name."""
        entry = fields_of(record) | {
            "time": _time(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The bound fields and the record's own."""
    return _bound.get() | getattr(record, "fields", {})


def shown(value: Any) -> str:
    """A value as ``key=value`` shows it: quoted where it is no plain word, floats shortened."""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    is_plain = text.isprintable() and not any(mark in text for mark in ' "=')
    return text if text and is_plain else json.dumps(text, ensure_ascii=False)


def plain(text: str) -> str:
    """``text`` on one line and without anything that a terminal would obey."""
    return text if text.isprintable() else json.dumps(text)[1:-1]


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, tz=timezone.utc)
