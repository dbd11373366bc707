"""Connections as clients that mean no good make them, against uvicorn and a tiny application."""

import asyncio
import contextlib
import json

import pytest
from starlette.responses import PlainTextResponse

from sglite.config import ServerConfig
from sglite.server.http.waiting import wait_for_disconnect
from sglite.server.lifecycle import make_server
from sglite.server.listen import bind

LARGE = 16 << 20
LEFT = []


async def application(scope, receive, send):
    if scope["path"] == "/abort":
        scope["state"]["abort_connection"]()
        return
    if scope["path"] == "/wait":
        await asyncio.sleep(0.2)
    if scope["path"] == "/headers":
        while (await receive())["more_body"]:
            continue
        names = " ".join(name.decode() for name, _ in scope["headers"])
        await PlainTextResponse(names)(scope, receive, send)
        return
    if scope["path"] == "/watch":
        await wait_for_disconnect(receive)
        LEFT.append(scope)
        return
    if scope["path"] == "/large":
        await PlainTextResponse(b"x" * LARGE)(scope, receive, send)
        return
    await PlainTextResponse("hello")(scope, receive, send)


@contextlib.asynccontextmanager
async def running(**options):
    """A server with these options; gives a function that opens a connection."""
    server = make_server(ServerConfig(**options), application)
    with contextlib.closing(bind("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        task = asyncio.ensure_future(server.serve(sockets=[sock]))
        writers = []

        async def connect():
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writers.append(writer)
            return reader, writer

        try:
            while not server.started:
                await asyncio.sleep(0.01)
            connect.server = server
            yield connect
        finally:
            for writer in writers:
                writer.close()
            server.should_exit = True
            await task


async def exchange(connect, data, *, whole=True):
    """Send bytes, and read what comes until the server closes the connection."""
    reader, writer = await connect()
    writer.write(data)
    answer = await (reader.read() if whole else reader.readuntil(b"\r\n\r\n"))
    return answer.decode()


def status_and_body(answer):
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def run(test, **options):
    async def main():
        async with running(**options) as connect:
            await asyncio.wait_for(test(connect), 20)

    asyncio.run(main())


GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def test_ordinary_request_is_served_and_the_server_does_not_introduce_itself():
    async def check(connect):
        answer = await exchange(connect, GET)
        assert answer.startswith("HTTP/1.1 200")
        assert answer.endswith("hello")
        assert "uvicorn" not in answer.lower()

    run(check)


@pytest.mark.parametrize(
    "data", [b"GARBAGE\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n"]
)
def test_what_is_no_http_gets_the_usual_error(data):
    async def check(connect):
        status, body = status_and_body(await exchange(connect, data))
        assert status == body["code"] == 400
        assert body["object"] == "error"

    run(check)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nX: " + b"a" * 17_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 10_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000,
    ],
    ids=["long header", "long path", "many headers", "no end"],
)
def test_head_that_is_too_large_is_a_431(head):
    async def check(connect):
        status, body = status_and_body(await exchange(connect, head))
        assert status == 431
        assert "16 KiB" in body["message"]

    run(check)


@pytest.mark.parametrize("number", [1, 100_000])
def test_what_follows_a_chunked_body_is_no_header(number):
    async def check(connect):
        head = GET.replace(b" / ", b" /headers ")[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
        answer = await exchange(connect, head + b"1\r\na\r\n0\r\n" + b"X: a\r\n" * number + b"\r\n")
        assert answer.endswith("host connection transfer-encoding")

    run(check)


def test_head_of_many_small_pieces_is_served():
    async def check(connect):
        reader, writer = await connect()
        for byte in GET:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await reader.read()).startswith(b"HTTP/1.1 200")

    run(check)


def test_slow_head_is_a_408_and_silence_is_closed():
    async def check(connect):
        status, _ = status_and_body(await exchange(connect, b"GET / HTTP/1.1\r\nX: a"))
        assert status == 408
        assert await exchange(connect, b"") == ""

    run(check, read_timeout_s=0.1)


def test_answer_may_take_longer_than_a_head():
    async def check(connect):
        assert "hello" in await exchange(connect, GET.replace(b" / ", b" /wait "))

    run(check, read_timeout_s=0.1)


def test_a_connection_too_many_is_told_to_come_back():
    async def check(connect):
        first = await connect()
        second = await connect()
        await asyncio.sleep(0.05)
        answer = await exchange(connect, GET)
        assert status_and_body(answer)[0] == 503
        assert "Retry-After: 1" in answer
        for _, writer in (first, second):
            writer.close()
        await asyncio.sleep(0.05)
        assert "hello" in await exchange(connect, GET)

    run(check, max_connections=2)


def test_a_handler_can_cut_the_connection():
    async def check(connect):
        assert await exchange(connect, GET.replace(b" / ", b" /abort ")) == ""

    run(check)


def test_upgrade_to_a_websocket_is_an_ordinary_request():
    async def check(connect):
        data = GET.replace(
            b"Connection: close", b"Connection: Upgrade, close\r\nUpgrade: websocket"
        )
        assert (await exchange(connect, data, whole=False)).startswith("HTTP/1.1 200")

    run(check)


@pytest.mark.parametrize("num_ahead", [0, 1, 5])
def test_caller_who_leaves_is_noticed_whatever_was_sent_ahead(num_ahead):
    async def check(connect):
        LEFT.clear()
        _, writer = await connect()
        writer.write(b"GET /watch HTTP/1.1\r\nHost: a\r\n\r\n" * (1 + num_ahead))
        await asyncio.sleep(0.05)
        assert not LEFT
        writer.transport.abort()
        await until(lambda: LEFT)

    run(check)


def test_more_than_a_few_calls_ahead_wait_and_are_answered_in_turn():
    async def check(connect):
        reader, writer = await connect()
        calls = 60
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * calls)
        answer = b""
        while answer.count(b"hello") < calls:
            answer += await reader.read(65536)
        assert answer.count(b"200 OK") == calls

    run(check)


@pytest.mark.parametrize(
    ("path", "rest"),
    [("/", b"\r\n"), ("/", b"GET"), ("/nowhere", b" ")],
    ids=["empty line", "part of a head", "part of a body that nobody waits for"],
)
def test_bytes_after_an_answer_get_no_more_time_than_a_head(path, rest):
    """Any byte ends uvicorn's keep-alive timer."""

    async def check(connect):
        reader, writer = await connect()
        length = b"Content-Length: 9\r\n" if rest == b" " else b""
        writer.write(b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (path.encode(), length))
        await reader.readuntil(b"hello")
        writer.write(rest)
        await reader.read()

    run(check, read_timeout_s=0.1)


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
@pytest.mark.parametrize("num_ahead", [0, 1])
def test_connection_whose_answer_nobody_reads_is_cut(connection, num_ahead):
    async def check(connect):
        reader, writer = await connect()
        head = f"GET /large HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\n\r\n"
        reader._transport.pause_reading()
        writer.write(head.encode() * (1 + num_ahead))
        await until(lambda: connect.server.server_state.connections)
        await until(lambda: not connect.server.server_state.connections)

    run(check, stall_timeout_s=0.2, keep_alive_timeout_s=1)


def test_answer_that_is_read_slowly_is_read_to_its_end():
    async def check(connect):
        reader, writer = await connect()
        writer.write(GET.replace(b" / ", b" /large "))
        num_bytes = 0
        while data := await reader.read(1 << 20):
            num_bytes += len(data)
            await asyncio.sleep(0.01)
        assert num_bytes > LARGE

    run(check, stall_timeout_s=0.3)


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)
