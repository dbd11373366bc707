"""A directory that only this user can enter, with the engine's socket in it."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile

from sglite.errors import ConfigError

SOCKET_NAME = "engine.sock"
MAX_WAITING_CONNECTIONS = 64


def make_private_directory() -> str:
    """A new directory with mode 0700. Raises ConfigError where there is no place for it."""
    try:
        return tempfile.mkdtemp(prefix="sglite-")  # mkdtemp makes it 0700
    except OSError as error:
        raise ConfigError(
            f"no directory for the engine's socket can be made: {error}; set TMPDIR to one that "
            "can be written"
        ) from error


def socket_path(directory: str) -> str:
    """Where the engine of ``directory`` listens."""
    return os.path.join(directory, SOCKET_NAME)


def listen_in(directory: str) -> socket.socket:
    """A listening socket in ``directory``. Raises ConfigError where the path is too long."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(socket_path(directory))
        listener.listen(MAX_WAITING_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen at {socket_path(directory)}: {error}; set TMPDIR to a short path on a "
            "local disk"
        ) from error
    return listener


def remove_private_directory(directory: str) -> None:
    """Remove the directory and the socket, and nothing else; what is gone is gone."""
    with contextlib.suppress(OSError):
        os.unlink(socket_path(directory))
    with contextlib.suppress(OSError):
        os.rmdir(directory)
