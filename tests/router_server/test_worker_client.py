"""The client of workers, against sockets that answer as they like."""

import asyncio
import contextlib

import pytest

from sglite.router_server.worker_client import (
    UnreachableError,
    WorkerCall,
    WorkerClient,
    WorkerLostError,
)

GET = WorkerCall("GET", "/a?b=%2F", [(b"x-own", "é".encode())])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Encoding: gzip\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"


@contextlib.asynccontextmanager
async def answering(*answers, closes=False):
    """A client, a URL, and the heads that were sent there; one answer for each request."""
    heads, left = [], list(answers)

    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while left:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(left.pop(0))
                if closes:
                    break
            if closes:
                writer.close()
            else:
                await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = WorkerClient(connect_timeout_s=2.0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield client, f"http://127.0.0.1:{port}", heads
    finally:
        await client.close()
        server.close()


def run(test, *answers, **settings):
    async def main():
        async with answering(*answers, **settings) as (client, url, heads):
            await asyncio.wait_for(test(client, url, heads), 5)

    asyncio.run(main())


async def read(answer):
    return [chunk async for chunk in answer.chunks()]


def test_the_call_is_sent_as_it_is_and_nothing_is_added_or_decoded():
    async def test(client, url, heads):
        answer = await client.open(url, GET)
        assert await read(answer) == [b"hi"] and answer.status == 200
        assert (b"Content-Encoding", b"gzip") in answer.headers
        lines = heads[0].split(b"\r\n")
        assert lines[0] == b"GET /a?b=%2F HTTP/1.1" and "x-own: é".encode() in lines
        names = {line.partition(b":")[0].lower() for line in lines[1:] if line}
        assert names <= {b"host", b"x-own", b"connection"}

    run(test, OK)


def test_a_connection_is_used_again_after_a_whole_answer():
    async def test(client, url, heads):
        for _ in range(2):
            answer = await client.open(url, GET)
            await read(answer)
            answer.close()
        assert len(heads) == 2

    run(test, OK, OK)


def test_a_body_is_sent_with_its_length():
    async def test(client, url, heads):
        call = WorkerCall("POST", "/", [(b"content-type", b"a/b")], b"xyz")
        (await client.open(url, call)).close()
        assert b"Content-Length: 3" in heads[0] and heads[0].count(b"a/b") == 1

    run(test, OK)


def test_cookies_and_redirects_are_left_alone():
    moved = b"HTTP/1.1 302 Found\r\nLocation: /b\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"

    async def test(client, url, heads):
        for _ in range(2):
            answer = await client.open(url, GET)
            assert answer.status == 302 and await read(answer) == []
            answer.close()
        assert len(heads) == 2 and b"ookie" not in heads[1]

    run(test, moved, moved)


def test_nobody_at_the_address_is_told_from_an_answer_that_breaks():
    async def test(client, url, heads):
        with pytest.raises(UnreachableError):
            await client.open("http://127.0.0.1:9", GET)
        answer = await client.open(url, GET)
        with pytest.raises(WorkerLostError) as caught:
            await read(answer)
        assert not isinstance(caught.value, UnreachableError)
        answer.close()

    run(test, CHUNKED, closes=True)


@pytest.mark.parametrize(
    "nonsense", [b"hello\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]
)
def test_what_is_no_http_is_a_lost_worker(nonsense):
    async def test(client, url, heads):
        with pytest.raises(WorkerLostError):
            await client.open(url, GET)

    run(test, nonsense, closes=True)


def test_a_worker_that_hangs_up_at_once_is_asked_once_more():
    async def test(client, url, heads):
        answer = await client.open(url, GET)
        assert await read(answer) == [b"hi"] and len(heads) == 2

    run(test, b"", OK, closes=True)


def test_an_answer_that_is_cut_ends_with_the_reason():
    async def test(client, url, heads):
        answer = await client.open(url, GET)
        reading = asyncio.ensure_future(read(answer))
        await asyncio.sleep(0)
        answer.cut(reason := RuntimeError())
        with pytest.raises(RuntimeError) as caught:
            await reading
        assert caught.value is reason

    run(test, CHUNKED)


def test_small_answers_are_bounded_in_time_and_size(monkeypatch):
    monkeypatch.setattr("sglite.router_server.worker_client.MAX_SMALL_ANSWER_BYTES", 1)

    async def test(client, url, heads):
        with pytest.raises(WorkerLostError, match="too long"):
            await client.ask(url, GET, timeout_s=2)
        with pytest.raises(WorkerLostError, match="does not answer"):
            await client.ask(url, GET, timeout_s=0.05)

    run(test, OK, b"")


def test_reading_slowly_slows_the_worker_down():
    sent = []

    async def test_it():
        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
            with contextlib.suppress(ConnectionError):
                for _ in range(1000):
                    writer.write(piece)
                    await writer.drain()
                    sent.append(len(piece))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client = WorkerClient(connect_timeout_s=2.0)
        answer = await client.open(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", GET)
        num_sent = -1
        while num_sent != len(sent):
            num_sent = len(sent)
            await asyncio.sleep(0.1)
        assert num_sent < 500
        answer.close()
        await client.close()
        server.close()

    asyncio.run(test_it())
