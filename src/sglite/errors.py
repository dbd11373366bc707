"""The exceptions of sglite, and nothing else.

    SgliteError
    ├── ConfigError         a bad option or option value       exit code 2
    ├── ModelLoadError      a bad or unsupported checkpoint    exit code 2
    ├── RequestError        a bad prompt or parameter          HTTP 400
    ├── CapacityError       no room now, try again later       HTTP 429 or 503
    ├── NotReadyError       starting or about to stop          HTTP 503
    ├── EngineDeadError     the engine stopped                 HTTP 503
    │   └── RankLostError   a rank of the engine is gone       HTTP 503
    └── RemoteError         another server failed (clients)    never sent

A message says what is wrong, the value, the limit, and what to do.
"""

from __future__ import annotations


class SgliteError(Exception):
    """Base of every error that sglite raises on purpose."""


class ConfigError(SgliteError):
    """An option is unknown or has a bad value."""


class ModelLoadError(SgliteError):
    """A model directory cannot be served: missing, damaged or of an unsupported kind."""


class RequestError(SgliteError):
    """A request is invalid. ``param`` names the field, as in OpenAI's error bodies."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class CapacityError(SgliteError):
    """The engine has no room for a valid request right now.

    ``retry_after_s`` is a hint in seconds; None where waiting will not help soon.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotReadyError(SgliteError):
    """The server is starting, or about to stop; ``retry_after_s`` is a hint in seconds."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EngineDeadError(SgliteError):
    """The engine ended because of a fault; nothing more will be answered."""


class RankLostError(EngineDeadError):
    """A rank of the engine has gone, hangs, or computes something else than the others."""


class RemoteError(SgliteError):
    """The server that a client talks to cannot be reached, fails, or answers nonsense."""
