"""Calls an ASGI application without a socket, and sees every message."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx


def client(app: Any, **settings: Any) -> httpx.AsyncClient:
    """An HTTP client that talks to ``app`` directly, as if from this machine."""
    peer = settings.pop("peer", ("127.0.0.1", 1234))
    transport = httpx.ASGITransport(app=app, client=peer, raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url="http://test", **settings)


class RawCall:
    """One call whose messages the test sends and looks at itself.

    ``blocks_after`` makes ``send`` wait for ever after so many messages, as a full connection does.
    """

    def __init__(self, app: Any, path: str = "/", method: str = "POST", **scope: Any) -> None:
        self.sent: list[dict[str, Any]] = []
        self.blocks_after: int | None = None
        self.aborted = False
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [],
            "client": ("127.0.0.1", 1234),
            "server": ("test", 80),
            "scheme": "http",
            "state": {"abort_connection": self._abort},
            **scope,
        }
        self.task = asyncio.ensure_future(app(self.scope, self._incoming.get, self._send))

    def push(self, body: bytes = b"", *, more: bool = False) -> None:
        """Send a piece of the body."""
        self._incoming.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def disconnect(self) -> None:
        """Leave."""
        self._incoming.put_nowait({"type": "http.disconnect"})

    @property
    def status(self) -> int | None:
        """The status that was sent."""
        starts = [each for each in self.sent if each["type"] == "http.response.start"]
        return starts[0]["status"] if starts else None

    @property
    def body(self) -> bytes:
        """The bytes that were sent."""
        return b"".join(each.get("body", b"") for each in self.sent)

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def _abort(self) -> None:
        self.aborted = True

    async def _send(self, message: dict[str, Any]) -> None:
        if self.blocks_after is not None and len(self.sent) >= self.blocks_after:
            await asyncio.Event().wait()
        self.sent.append(message)


def events(text: str) -> list[Any]:
    """The values of a stream's events, ``"[DONE]"`` as it stands; checks the framing."""
    assert text.endswith("\n\n")
    values = []
    for block in text[:-2].split("\n\n"):
        assert block.startswith("data: ") and "\n" not in block
        data = block[6:]
        values.append(data if data == "[DONE]" else json.loads(data))
    return values
