"""The socket of the server: checked and bound before anything is loaded."""

from __future__ import annotations

import contextlib
import errno
import resource
import socket
import ssl
from typing import TYPE_CHECKING

from sglite.errors import ConfigError
from sglite.server.http.auth import Keys, is_loopback

if TYPE_CHECKING:
    from sglite.config_shared import ListenOptions

BACKLOG = 2048
FILES_BESIDE = 256
MAX_UNSENT_BYTES = 64 << 10
"""What the kernel takes of an answer that its client does not; without a limit some megabytes."""


def check_exposure(config: ListenOptions, keys: Keys) -> None:
    """Raise ConfigError where other machines could call this server without a key."""
    if is_loopback(config.host) or keys.user or config.allow_unauthenticated:
        return
    raise ConfigError(
        f"host: {config.host} can be reached from other machines and there is no key; give "
        "--api-key-file (or SGLITE_API_KEY), or --allow-unauthenticated"
    )


def check_tls(config: ListenOptions) -> None:
    """Raise ConfigError where HTTPS is wanted and certificate and key do not allow it."""
    certificate, key = config.ssl_certfile, config.ssl_keyfile
    if (certificate is None) != (key is None):
        raise ConfigError("ssl_certfile and ssl_keyfile belong together; give both")
    if certificate is None:
        return
    try:
        # Without a password of ours, OpenSSL would ask for one at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, lambda: "")
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        reason = None if isinstance(error, ssl.SSLError) else getattr(error, "strerror", None)
        raise ConfigError(
            f"ssl_certfile {certificate}, ssl_keyfile {key}: "
            f"{reason or 'these are no certificate and its unencrypted key, both in PEM'}"
        ) from error


def bind(host: str, port: int, *, is_shared: bool = False) -> socket.socket:
    """A listening socket. Raises ConfigError, in one line, where that cannot be.

    ``is_shared`` lets :func:`bind_beside` put others beside it.
    """
    if is_shared and port:
        bind(host, port).close()  # it must be free, not merely shared by another server
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise ConfigError(f"host: {host!r} is no address of this machine") from error
    sock = socket.socket(family, kind, proto)
    try:
        _set_options(sock, is_shared=is_shared)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise ConfigError(_why(host, port, error)) from error
    sock.setblocking(False)
    return sock


def bind_beside(sock: socket.socket) -> socket.socket:
    """A socket on the address of a shared one, which takes its part of the connections.

    The system deals them out evenly to those that listen; this one does not listen yet. Raises
    OSError.
    """
    beside = socket.socket(sock.family, sock.type, sock.proto)
    try:
        _set_options(beside, is_shared=True)
        beside.bind(sock.getsockname())
    except OSError:
        beside.close()
        raise
    beside.setblocking(False)
    return beside


def _set_options(sock: socket.socket, *, is_shared: bool) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # every connection inherits it
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)


def allow_open_files(num_connections: int) -> None:
    """Let this process have so many connections, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = num_connections + FILES_BESIDE
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(OSError, ValueError):  # then accept() is what limits
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def url_of(sock: socket.socket, *, is_tls: bool) -> str:
    """Where clients reach the socket."""
    host, port = sock.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if is_tls else 'http'}://{shown}:{port}"


def _why(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port: {port} is in use on {host}; choose another one with --port"
    if error.errno == errno.EACCES:
        return f"port: {port} is for the system's administrator; choose one from 1024 on"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"host: {host} is no address of this machine"
    return f"{host}:{port} cannot be listened on: {error.strerror or error}"
