"""Who the router is to its workers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sglite.config_parallel import RouterOptions
from sglite.errors import ConfigError


@dataclass(frozen=True, slots=True, repr=False)
class WorkerKeys:
    """Values of the Authorization header for calls of clients, and for control routes.

    None: what the client sent goes on, unless the router itself asks its clients for keys, which
    are nobody else's to see (``passes_on``).
    """

    user: bytes | None = None
    admin: bytes | None = None
    passes_on: bool = True

    @classmethod
    def from_options(cls, options: RouterOptions, *, has_own_keys: bool) -> WorkerKeys:
        """The keys given as options or in files. Raises ConfigError for a bad file or key."""
        key = options.worker_api_key
        if key is not None and options.worker_api_key_file is not None:
            raise ConfigError("worker_api_key and worker_api_key_file: give one of them")
        user = _read("worker_api_key", key, options.worker_api_key_file)
        admin = _read("worker_admin_api_key", None, options.worker_admin_api_key_file)
        return cls(user, admin or user, passes_on=not has_own_keys)

    def for_call(self, given: bytes | None) -> bytes | None:
        """The header for a client's call, which came with ``given``."""
        if self.user is not None:
            return self.user
        return given if self.passes_on else None


def _read(name: str, key: str | None, file: str | None) -> bytes | None:
    if file is not None:
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise ConfigError(f"{name}_file: {file} cannot be read") from error
        key = next((line.strip() for line in lines if line.strip()), "")
    if key is None:
        return None
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(f"{name}: a key is printable ASCII without spaces, and not empty")
    return b"Bearer " + key.encode("ascii")
