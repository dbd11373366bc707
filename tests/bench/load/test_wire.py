"""Events come whole whatever the framing and wherever the pieces end."""

from __future__ import annotations

import asyncio

import pytest

from sglite.bench.load.wire import EventSplitter, Target, parse_head
from sglite.errors import ConfigError, RemoteError
from tests.client.fake_server import FakeServer, Reply

EVENTS = b'data: {"n": 1}\n\ndata: {"n": 2}\r\n\r\n: ping\n\nevent: x\ndata:[DONE]\n\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


def post(target, path="/x", body=None):
    """All events of one call, as the batches in which they came."""

    async def run():
        return [events async for events in target.post_events(path, body)]

    return asyncio.run(run())


def post_to(answer: bytes, *, cut: int | None = None):
    """The events of a call that a bare socket answers with these bytes, ``cut`` at a time."""

    async def run():
        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            step = cut or len(answer)
            for start in range(0, len(answer), step):
                writer.write(answer[start : start + step])
                await writer.drain()
                await asyncio.sleep(0)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            target = Target(f"http://127.0.0.1:{port}")
            found = [event async for events in target.post_events("/", {}) for event in events]
        return found

    return asyncio.run(run())


def chunked(data: bytes, size: int) -> bytes:
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize("cut", [1, 7, None])
@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(EVENTS, 11),
        HEAD + b"content-length: %d\r\n\r\n" % len(EVENTS) + EVENTS,
        HEAD + b"Connection: close\r\n\r\n" + EVENTS,
    ],
    ids=["chunked", "length", "to-the-end"],
)
def test_events_are_the_same_in_every_framing(answer, cut):
    assert post_to(answer, cut=cut) == ['{"n": 1}', '{"n": 2}', "[DONE]"]


def test_letters_cut_in_two_are_whole_again():
    splitter, data = EventSplitter(), 'data: "grün"\n\n'.encode()
    assert [event for byte in data for event in splitter.push(bytes([byte]))] == ['"grün"']


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200",
        b"",
    ],
)
def test_what_breaks_off_is_an_error(answer):
    with pytest.raises(RemoteError, match="broke off"):
        post_to(answer)


def test_body_and_key_are_sent_below_the_prefix():
    with FakeServer(**{"/p/v1/x": Reply(events=[])}) as server:
        post(Target(server.url + "/p/v1", api_key="k"), "/v1/x", {"a": "ä"})
    (asked,) = server.asked
    assert asked.body == {"a": "ä"}
    assert asked.headers["authorization"] == "Bearer k"


def test_a_refusal_says_what_the_server_said():
    refusal = Reply({"error": {"message": "too long"}}, status=400)
    with FakeServer(**{"/x": refusal}) as server, pytest.raises(RemoteError, match="too long"):
        post(Target(server.url))


def test_nobody_there_and_bad_urls_are_said():
    with pytest.raises(RemoteError, match="cannot be reached"):
        post(Target("http://127.0.0.1:1"))
    with pytest.raises(ConfigError):
        Target("ftp://x")


def test_head_is_read_without_regard_to_case():
    assert parse_head(b"HTTP/1.1 404 Not Found\r\nX-A:  b c \r\n\r\n") == (404, {"x-a": "b c"})
