"""T15: what is no message at the engine's socket is dropped and counted; nothing else happens."""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

from sglite.ipc.frames import MAX_FRAME_BYTES, encode
from sglite.ipc.messages import (
    Abort,
    Control,
    Digest,
    Fatal,
    Heartbeat,
    Note,
    Outputs,
    Ready,
    Submit,
)
from sglite.request import OutputBatch, Request, SamplingParams
from tests.ipc.harness import RawClient, wait_until
from tests.server.live import LiveServer, live_server

QUESTION = {"text": "The capital of France is", "sampling_params": {"temperature": 0}}
LISTENING = "0A"
LAST_CALL = 1 << 40
SETTLE_INTERVAL = 200
"""Frames after which the answers are read: nobody may fall behind for ever."""

pack = msgspec.msgpack.encode


@pytest.fixture(scope="module", params=["1", "2"], ids=["one HTTP process", "two"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    directory = tmp_path_factory.mktemp("server")
    options = ("--api-workers", request.param, "--max-total-tokens", "20000")
    with live_server(*options, directory=directory) as running:
        yield running


# -- what is sent ----------------------------------------------------------------------------------


def small(request_id: str) -> Request:
    return Request(
        request_id=request_id,
        prompt_token_ids=[5, 6, 7],
        sampling=SamplingParams(temperature=0.5, logit_bias={5: 1.0}, stop_token_ids=(9,)),
        max_new_tokens=2,
    )


SOUND = tuple(
    bytes(encode(message))[4:]
    for message in (
        Submit([small("a"), small("b")]),
        Abort(["a", "ü"]),
        Control(1, "stats"),
        Control(2, "flush_cache", {"timeout_s": 0.0}),
        Note("metrics", 7, 1, {"a": [1, None, "x"]}),
    )
)
NOTE = {"type": "note", "topic": "metrics", "sender": 7, "call_id": 1}


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.open, (self.path, os.O_CREAT)


def note_with(payload: bytes) -> bytes:
    """A note whose payload, which has no type, is these bytes."""
    body = bytearray(pack(NOTE | {"payload": None}))
    assert body[-1] == 0xC0
    return bytes(body[:-1]) + payload


def pickles(path: Path) -> Iterator[bytes]:
    """A pickle with a side effect, wherever bytes can stand."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        payload = pickle.dumps(Payload(path), protocol)
        yield payload
        yield pack(payload)
        yield pack({"type": "submit", "requests": payload})
        yield pack({"type": "abort", "request_ids": [payload]})
        for code in (-128, -1, 0, 1, 42, 127):
            yield pack(msgspec.msgpack.Ext(code, payload))
            yield pack({"type": "submit", "requests": msgspec.msgpack.Ext(code, payload)})


def wrong_messages() -> Iterator[bytes]:
    """Sound msgpack that is no message to an engine."""
    yield from (pack(value) for value in (None, True, 0, -1, 1.5, "submit", b"submit", [], {}))
    yield pack({"type": "eval", "code": "1"})
    yield pack({"type": ["submit"]})
    yield pack({"type": None, "requests": []})
    yield pack({"requests": []})
    for value in (None, 1, "x", {}, [None], [[]], [{}], [{"request_id": 1}], [{"request_id": "a"}]):
        yield pack({"type": "submit", "requests": value})
    for value in (None, 1, "x", {}, [1], [None], [["a"]]):
        yield pack({"type": "abort", "request_ids": value})
    for value in (None, "x", [], 1.5, {}):
        yield pack({"type": "control", "call_id": value, "name": "stats"})
    for value in ([], [1], {"a": {}}, {"a": b"x"}, {1: 2}):
        yield pack({"type": "control", "call_id": 1, "name": "stats", "arguments": value})
    for value in (None, 1.5, "x", []):
        yield pack(NOTE | {"sender": value})
    for message in (
        Fatal("end"),
        Heartbeat(0.0, 0, 0, 0),
        Digest(16, True, b""),
        Outputs(OutputBatch()),
        Ready(1, 1, {}, 1, 1, 1, 1, [], 0.0),
    ):
        yield pack(message)


def ill_formed() -> Iterator[bytes]:
    """What is no msgpack, or would cost more than it may."""
    yield b""
    yield b"GET / HTTP/1.1\r\n\r\n"
    yield from (bytes([byte]) for byte in range(256))
    for sound in SOUND:
        yield from (sound[:end] for end in range(len(sound)))
        yield sound + b"\0"
    for opener in (b"\x91", b"\x81\xa1a", b"\x81\x91\x01", b"\xdc\x00\x01", b"\xdf\0\0\0\1\xa1a"):
        for depth in (100_000, 1_000_000):
            yield opener * depth
            yield note_with(opener * depth)
    for promise in (b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"):
        yield promise + b"\xff" * 4
        yield note_with(promise + b"\xff\xff\xff\xff")
        yield note_with(promise + b"\x7f\xff\xff\xff")
    yield note_with(b"\xa2\xff\xff")  # text that is no UTF-8
    yield note_with(b"\x81\x80\x01")  # a map as the key of a map
    yield note_with(b"\x81\x91\x80\x01")
    yield note_with(b"\xd7\xff" + b"\xff" * 8)  # a time stamp that is none
    yield note_with(b"\xc7\x0c\xff" + b"\xff" * 12)
    for code in range(256):
        yield b"\xd4" + bytes([code, 0])
        yield b"\xc7\x04" + bytes([code]) + b"abcd"


def mutations(chance: random.Random, count: int) -> Iterator[bytes]:
    """Sound frames with a few other bytes, some of them shorter."""
    for number in range(count):
        frame = bytearray(SOUND[number % len(SOUND)])
        for _ in range(chance.randint(1, 6)):
            frame[chance.randrange(len(frame))] = chance.randrange(256)
        yield bytes(frame[: chance.choice([len(frame), len(frame), chance.randrange(len(frame))])])


# -- what is looked at -----------------------------------------------------------------------------


def engine_socket(server: LiveServer) -> Path:
    (found,) = server.temporary.glob("*/engine.sock")
    return found


def num_dropped(server: LiveServer) -> int:
    """What the engine's log says of it: the count at every power of two."""
    counts = re.findall(r"ipc_frame_dropped\b.*?\bcount=(\d+)", server.errors)
    return max(map(int, counts), default=0)


def pids(server: LiveServer) -> list[int]:
    return [server.process.pid, *sorted(server.children())]


class Stranger(RawClient):
    """Sends what it likes and does not look at what comes, but for the answer to its last word."""

    def settle(self) -> None:
        """Return when everything that was sent has been taken."""
        self.send(Control(LAST_CALL, "stats"))
        while True:
            count = self.socket.recv_into(self._reader.space())
            assert count, "the engine has closed the connection"
            for frame in self._reader.frames(count):
                with contextlib.suppress(ValueError, RecursionError, TypeError):
                    if getattr(self._decoder.decode(frame), "call_id", None) == LAST_CALL:
                        return


def send_all(server: LiveServer, frames: Iterable[bytes]) -> int:
    """Send frames over a connection of their own; how many there were."""
    count = 0
    with Stranger(str(engine_socket(server))) as stranger:
        for count, frame in enumerate(frames, start=1):
            stranger.send_frame(frame)
            if count % SETTLE_INTERVAL == 0:
                stranger.settle()
        stranger.settle()
    return count


def answer(server: LiveServer) -> tuple[str, list[int]]:
    with server.client() as http:
        found = http.post("/generate", json=QUESTION).json()
        assert http.get("/health").status_code == http.get("/metrics").status_code == 200
    return found["text"], found["output_ids"]


def sockets_of(pid: int) -> set[str]:
    """Inodes of the sockets that a process holds."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        target = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link))
        if target:
            found.add(target[1])
    return found


def listening(server: LiveServer, table: str) -> list[str]:
    """Addresses of ``table`` that a process of the server listens on."""
    own = set().union(*(sockets_of(pid) for pid in pids(server)))
    rows = [line.split() for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    return [row[1] for row in rows if row[3] == LISTENING and row[9] in own]


# -- tests -----------------------------------------------------------------------------------------


def test_only_the_owner_reaches_the_socket(server: LiveServer) -> None:
    directory = engine_socket(server).parent
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert directory.stat().st_uid == os.getuid()
    assert [path.name for path in directory.iterdir()] == ["engine.sock"]


def test_nothing_listens_but_the_http_port(server: LiveServer) -> None:
    port = int(server.url.rpartition(":")[2])
    assert set(listening(server, "tcp")) == {f"0100007F:{port:04X}"}
    assert listening(server, "tcp6") == listening(server, "udp") == []
    own = set().union(*(sockets_of(pid) for pid in pids(server)))
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    accepting = [row[7:] for row in rows if row[6] in own and row[3] == "00010000"]
    assert accepting == [[str(engine_socket(server))]]


def test_what_is_no_message_is_dropped_and_counted(server: LiveServer) -> None:
    before, expected = pids(server), answer(server)
    sent = send_all(server, [*wrong_messages(), *ill_formed()])
    assert sent > 1000
    told = 1 << (sent.bit_length() - 1)  # the log tells powers of two
    wait_until(lambda: num_dropped(server) >= told)
    assert pids(server) == before
    assert answer(server) == expected


def test_nobody_is_answered_for_what_is_no_message(server: LiveServer) -> None:
    with RawClient(str(engine_socket(server))) as raw:
        for frame in wrong_messages():
            raw.send_frame(frame)
        assert isinstance(raw.next(), Ready)
        raw.send(Control(77, "stats"))
        reply = raw.next()
        assert reply.call_id == 77, "the first word after the greeting is the answer to a call"


def test_a_pickle_creates_no_file(server: LiveServer, tmp_path: Path) -> None:
    before = pids(server)
    assert send_all(server, pickles(tmp_path / "owned")) > 50
    assert list(tmp_path.iterdir()) == []
    pickle.loads(pickle.dumps(Payload(tmp_path / "owned")))
    assert (tmp_path / "owned").exists(), "the payload is one that would have done it"
    assert pids(server) == before


@pytest.mark.parametrize("depth", [100, 300, 500, *range(900, 1010, 2), 2000])
def test_a_note_as_deep_as_the_stack_ends_nobody(server: LiveServer, depth: int) -> None:
    before = pids(server)
    send_all(server, [note_with(b"\x91" * depth + b"\xc0")])
    assert pids(server) == before


def test_notes_that_mean_nothing_end_no_http_process(server: LiveServer) -> None:
    before, expected = pids(server), answer(server)
    topics = ("metrics", "abort", "name_prefix", "forget_prefix", "nothing", "")
    payloads = (
        None,
        1,
        1.5,
        "x",
        [],
        [[1]],
        {},
        {"name": 1},
        {"token_ids": 1},
        {"a": {"b": [None]}},
    )
    notes = [
        pack(NOTE | {"topic": topic, "payload": payload, "asker": asker, "sender": sender})
        for topic in topics
        for payload in payloads
        for asker, sender in ((None, 0), (None, 99), (0, 1), (1, 0), (-1, 1))
    ]
    send_all(server, notes)
    assert pids(server) == before
    assert answer(server) == expected


def test_mutated_messages_leave_everybody_sound(server: LiveServer) -> None:
    before, expected = pids(server), answer(server)
    assert send_all(server, mutations(random.Random(4), 2000)) == 2000
    assert pids(server) == before
    assert answer(server) == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_hundred_thousand_mutated_messages_leave_everybody_sound(
    server: LiveServer, seed: int
) -> None:
    before, expected = pids(server), answer(server)
    assert send_all(server, mutations(random.Random(seed), 10_000)) == 10_000
    assert pids(server) == before
    assert answer(server) == expected


def test_random_streams_and_lengths_that_lie_end_their_connection_alone(
    server: LiveServer,
) -> None:
    before, expected = pids(server), answer(server)
    chance = random.Random(6)
    for number in range(200):
        with RawClient(str(engine_socket(server))) as bad:
            if number % 2:
                bad.socket.sendall((MAX_FRAME_BYTES + 1 + number).to_bytes(4, "big"))
                while bad.next() is not None:
                    continue
            else:
                bad.socket.sendall(b"\0\0" + chance.randbytes(chance.randrange(5000)))
    assert pids(server) == before
    assert answer(server) == expected


def test_a_frame_at_the_limit_is_read_and_dropped(server: LiveServer) -> None:
    before = pids(server)
    send_all(server, [b"\xc1" * MAX_FRAME_BYTES])
    assert pids(server) == before


def test_connections_that_say_nothing_are_in_nobodys_way(server: LiveServer) -> None:
    clients = [RawClient(str(engine_socket(server))) for _ in range(100)]
    half = bytes(encode(Control(1, "stats")))[:9]
    for client in clients[::2]:
        client.socket.sendall(half)
    expected = answer(server)
    for client in clients:
        client.socket.close()
    assert answer(server) == expected
