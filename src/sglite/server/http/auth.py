"""Who may call what (R18): an ASGI layer outside of routing that denies by default.

It decides on ``scope["path"]`` and nothing else: a path that is not among the open routes needs a
key as soon as keys are configured, whether it exists or not. Control routes ask for the admin key
where there is one, otherwise for a caller on this machine.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from sglite.config_shared import ListenOptions
from sglite.errors import ConfigError
from sglite.server.http.error_table import HttpError, error_response
from sglite.server.http.routes import Access

_SCHEME = b"Bearer "
_FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-real-ip")


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """Digests of the keys that open the API, and of those that open the control routes too."""

    user: frozenset[bytes] = frozenset()
    admin: frozenset[bytes] = frozenset()

    @classmethod
    def from_options(cls, options: ListenOptions) -> Keys:
        """The keys given as options or in files. Raises ConfigError for a bad file or key."""
        return cls(
            _digests("api_key", options.api_key, options.api_key_file),
            _digests("admin_api_key", options.admin_api_key, options.admin_api_key_file),
        )

    def __bool__(self) -> bool:
        return bool(self.user or self.admin)


def _digests(name: str, key: str | None, file: str | None) -> frozenset[bytes]:
    keys = [] if key is None else [key]
    if file is not None:
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise ConfigError(f"{name}_file: {file} cannot be read") from error
        in_file = [line.strip() for line in lines if line.strip()]
        if not in_file:
            raise ConfigError(f"{name}_file: {file} has no key")
        keys += in_file
    for each in keys:
        if not each or not each.isascii() or not each.isprintable() or " " in each:
            raise ConfigError(f"{name}: a key is printable ASCII without spaces, and not empty")
    return frozenset(hashlib.sha256(each.encode()).digest() for each in keys)


def is_among(given: bytes, digests: Iterable[bytes]) -> bool:
    """True where ``given`` is one of the keys; takes as long whichever it is, and if it is none."""
    digest = hashlib.sha256(given).digest()
    matches = [hmac.compare_digest(digest, each) for each in digests]
    return any(matches)


class AuthMiddleware:
    """Lets calls through that may pass; the others get a 401 or 403. Websockets are refused."""

    def __init__(
        self, app: ASGIApp, *, keys: Keys, open_paths: Iterable[str], origins: Iterable[str] = ()
    ) -> None:
        self._app = app
        self._keys = keys
        self._open_paths = frozenset(open_paths)
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, or refuse it."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http":
            scope["state"]["check_access"] = lambda access: self._check_route(scope, access)
            try:
                self._check_path(scope)
            except HttpError as error:
                response = error_response(error)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check_path(self, scope: Scope) -> None:
        if not self._keys.user or scope["path"] in self._open_paths:
            return
        if not is_among(_given_key(scope), self._keys.user | self._keys.admin):
            raise _unauthorized()

    def _check_route(self, scope: Scope, access: Access) -> None:
        """Raise HttpError where a route with this access is closed to the caller."""
        if access != "control":
            return
        if not self._keys.admin:
            self._check_is_here(scope)
            return
        given = _given_key(scope)
        if not is_among(given, self._keys.admin):
            if is_among(given, self._keys.user):
                raise HttpError("this route needs the admin key", status=403, code="forbidden")
            raise _unauthorized()

    def _check_is_here(self, scope: Scope) -> None:
        """Only programs on this machine; not a web page that a browser here has opened."""
        headers = dict(scope["headers"])
        is_foreign = not is_loopback((scope.get("client") or ("",))[0])
        is_foreign |= any(name in headers for name in _FORWARDED)
        origin = headers.get(b"origin", b"").decode("latin-1")
        if is_foreign or (origin and origin not in self._origins):
            raise HttpError(
                "control routes are open to this machine only; start with --admin-api-key",
                status=403,
                code="forbidden",
            )


def is_loopback(host: str) -> bool:
    """True for addresses of this machine alone."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _given_key(scope: Scope) -> bytes:
    """The key of the one Authorization header; empty, which is no key, for anything else."""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(given) != 1 or not given[0].startswith(_SCHEME):
        return b""
    return bytes(given[0][len(_SCHEME) :])


def _unauthorized() -> HttpError:
    return HttpError(
        "a valid key is needed: `Authorization: Bearer KEY`",
        status=401,
        code="invalid_api_key",
        headers={"WWW-Authenticate": "Bearer"},
    )
