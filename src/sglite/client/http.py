"""JSON and server-sent events over HTTP, with the standard library alone.

One connection per call. Redirects are not followed: a server that answers with one is named in the
error, and a key never travels where it was not sent.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from sglite.errors import CapacityError, ConfigError, RemoteError, RequestError, SgliteError

MAX_BODY_BYTES = 64 << 20
MAX_LINE_BYTES = 16 << 20
MAX_QUOTED_CHARACTERS = 300
CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 600.0
DONE = "[DONE]"


class HttpClient:
    """Calls one server.

    ``url`` is where it listens; a path in it precedes the routes, and a ``/v1`` at its end is taken
    off. ``read_timeout_s`` is how long the server may send nothing. ConfigError for a bad URL.
    Every call raises RequestError where the server refuses what was asked, CapacityError where it
    has no room, ConfigError where it wants another key, RemoteError for all else.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self.url = url
        self._is_tls, self._host, self._port, self._prefix = parse_url(url)
        self._api_key = _header_value(api_key)
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s

    def get_json(self, path: str) -> Any:
        """The JSON that a GET answers with."""
        with self._open("GET", path, None) as response:
            return self._read_json(response)

    def post_json(self, path: str, body: Any) -> Any:
        """The JSON that a POST of ``body`` answers with; None for an answer without a body."""
        with self._open("POST", path, body) as response:
            return self._read_json(response)

    def post(self, path: str) -> None:
        """A POST without a body whose answer does not matter, but its status."""
        with self._open("POST", path, {}) as response:
            response.read(MAX_BODY_BYTES)

    def post_events(self, path: str, body: Any) -> Generator[Any, None, None]:
        """The events of a stream as they come, up to ``[DONE]``; closing it hangs up.

        Raises as all calls do, also for an error that comes as an event.
        """
        with self._open("POST", path, body) as response:
            kind = response.getheader("content-type", "")
            if not kind.startswith("text/event-stream"):
                raise RemoteError(f"{self.url}{path} answered {kind or 'nothing'}, not a stream")
            for data in read_events(response):
                if data == DONE:
                    return
                event = _parse(data, self.url)
                if isinstance(event, dict) and event.get("error"):
                    raise error_of(self.url, _code_of(event), data.encode(), None)
                yield event
        raise RemoteError(f"{self.url} closed the stream before the answer ended")

    def _read_json(self, response: http.client.HTTPResponse) -> Any:
        body = response.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise RemoteError(f"{self.url} answered with more than {MAX_BODY_BYTES >> 20} MiB")
        return _parse(body, self.url) if body else None

    @contextmanager
    def _open(self, method: str, path: str, body: Any) -> Iterator[http.client.HTTPResponse]:
        connection = self._connection()
        headers = {"Accept": "application/json, text/event-stream"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        content = None
        if body is not None:
            content = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
            headers["Content-Type"] = "application/json"
        try:
            connection.connect()
            connection.sock.settimeout(self._read_timeout_s)
            connection.request(method, self._prefix + path, content, headers)
            response = connection.getresponse()
            if response.status != 200:
                retry_after = response.getheader("retry-after")
                text = response.read(MAX_LINE_BYTES)
                raise error_of(self.url, response.status, text, retry_after)
            yield response
        except TimeoutError as error:
            raise RemoteError(f"{self.url} does not answer (timed out)") from error
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise RemoteError(f"{self.url} cannot be reached: {reason}") from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._is_tls:
            return http.client.HTTPSConnection(
                self._host,
                self._port,
                timeout=self._connect_timeout_s,
                context=ssl.create_default_context(),
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=self._connect_timeout_s)


def parse_url(url: str) -> tuple[bool, str, int, str]:
    """``(is https, host, port, path before the routes)``. Raises ConfigError."""
    example = "give one such as http://127.0.0.1:30000"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{url!r:.100} is not a URL ({error}); {example}") from error
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        raise ConfigError(f"{url!r:.100} is not the URL of a server; {example}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(f"{host}: a URL without user, query and fragment is expected; {example}")
    is_tls = parts.scheme == "https"
    prefix = parts.path.rstrip("/").removesuffix("/v1")
    return is_tls, host, port or (443 if is_tls else 80), prefix


def read_events(stream: Any) -> Iterator[str]:
    """The data of server-sent events, from an object with ``readline``.

    Comments and other fields are passed over; several data lines of one event are joined.
    """
    lines: list[str] = []
    while line := stream.readline(MAX_LINE_BYTES):
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        name, _, value = text.partition(":")
        if not text and lines:
            yield "\n".join(lines)
            lines = []
        elif name == "data":
            lines.append(value.removeprefix(" "))
    if lines:
        yield "\n".join(lines)


def error_of(url: str, status: int, body: bytes, retry_after: str | None) -> SgliteError:
    """The exception for an answer of this status."""
    message, param = _message_of(body)
    if status in (401, 403):
        return ConfigError(f"{url} refuses the key: {message}")
    if status in (429, 503):
        seconds = float(retry_after) if retry_after and retry_after.isdecimal() else None
        return CapacityError(message, retry_after_s=seconds)
    if status in (400, 404, 413, 422):
        return RequestError(message, param=param)
    return RemoteError(f"{url} answered {status}: {message}")


def _message_of(body: bytes) -> tuple[str, str | None]:
    """The message and the field of an error body, in any of the usual shapes."""
    text = body.decode("utf-8", "replace")
    try:
        content = json.loads(text)
    except ValueError:
        return _shortened(text), None
    error = content.get("error", content) if isinstance(content, dict) else content
    if not isinstance(error, dict):
        return _shortened(str(error)), None
    message = error.get("message") or error.get("detail") or text
    param = error.get("param")
    return _shortened(str(message)), param if isinstance(param, str) else None


def _code_of(event: dict[str, Any]) -> int:
    error = event["error"]
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) else 500


def _shortened(text: str) -> str:
    words = " ".join(text.split()) or "no reason given"
    limit = MAX_QUOTED_CHARACTERS
    return words if len(words) <= limit else words[:limit] + "..."


def _parse(text: str | bytes, url: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise RemoteError(f"{url} answered what is not JSON ({error})") from error


def _header_value(key: str | None) -> str | None:
    if key is not None and not (key.isascii() and key.isprintable()):
        raise ConfigError("the API key has characters that a header cannot carry")
    return key
