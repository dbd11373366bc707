"""The process alone: what it imports, what it allows itself, and that it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sglite.ipc.frames import encode
from sglite.ipc.grammar_messages import GrammarSetup, Vet, Vetted
from sglite.ipc.grammar_process import make_vetter, vet
from sglite.ipc.spawning import read_frames, spawn
from sglite.request import GrammarSpec
from tests.ipc.fake_grammars import MODULE, SETUP, VOCABULARY, FakeBackend, FakeEnds, spec
from tests.ipc.harness import WAIT_S


class Talk:
    """A process and our end of its socket."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(WAIT_S)
        with theirs:
            self.process = spawn(MODULE, stdin=theirs.fileno())
        self._frames = read_frames(self.socket.makefile("rb"))

    def send(self, message: object) -> None:
        self.socket.sendall(encode(message))

    def receive(self) -> Vetted:
        return msgspec.msgpack.decode(next(self._frames), type=Vetted)

    def leave(self) -> int:
        """Close the socket and wait for its end."""
        self._frames.close()  # type: ignore[attr-defined]
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        return self.process.wait(WAIT_S)


@pytest.fixture
def talk() -> Iterator[Talk]:
    talk = Talk()
    yield talk
    talk.process.kill()
    talk.process.wait()
    talk.socket.close()


def limit_of(pid: int, name: str) -> str:
    """The soft limit of a process."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line for line in lines if line.startswith(name)).split()[-3]


def test_it_limits_itself_answers_and_ends_with_its_parent(talk: Talk) -> None:
    talk.send(SETUP)
    assert talk.receive() == Vetted()
    pid = talk.process.pid
    limit = int(limit_of(pid, "Max address space"))
    size = 4096 * int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    assert size < limit <= size + SETUP.max_extra_bytes
    assert limit_of(pid, "Max core file size") == "0"
    talk.send(Vet(spec("ab"), WAIT_S))
    assert talk.receive() == Vetted(shortest_end=(97, 98))
    assert talk.leave() == 0


def test_its_own_clock_ends_it_where_nobody_else_is_left(talk: Talk) -> None:
    talk.send(SETUP)
    talk.receive()
    talk.send(Vet(spec("hang"), 0.2))
    assert talk.leave() == -signal.SIGALRM


def test_without_a_parent_it_does_nothing(talk: Talk) -> None:
    assert talk.leave() == 0


def test_it_never_imports_torch() -> None:
    """Not with the library either, and so it is soon there."""
    program = (
        "import sys\n"
        "from sglite.ipc.grammar_process import make_vetter\n"
        "from sglite.ipc.grammar_messages import GrammarSetup\n"
        "from sglite.grammar.vocabulary import Vocabulary\n"
        "from sglite.request import GrammarSpec\n"
        "pieces = tuple(bytes([byte]) for byte in range(256)) + (b'',)\n"
        "setup = GrammarSetup('llguidance', 'single', Vocabulary(pieces, (256,)))\n"
        "vetted = make_vetter(setup)(GrammarSpec('regex', 'a{3}b*'))\n"
        "assert vetted.error is None and bytes(vetted.shortest_end) == b'aaa', vetted\n"
        "print(*({'torch', 'transformers', 'fastapi', 'zmq'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc", Vetted(shortest_end=tuple(b"abc"))),
        ("bad", Vetted(error="regex is bad", param="regex")),
        (
            "endless",
            Vetted(
                error="no text was found that fits regex, of at most 65,536 tokens and in the time "
                "for the search; give it an easier way to an end",
                param="regex",
            ),
        ),
        (
            "complex",
            Vetted(error="regex is too complex: the library gave up; simplify it", param="regex"),
        ),
    ],
)
def test_what_it_finds(text: str, expected: Vetted) -> None:
    words = VOCABULARY.num_words
    assert vet(spec(text), FakeBackend(), FakeEnds(), num_words=words) == expected  # type: ignore[arg-type]


def test_a_fault_is_for_the_log_alone() -> None:
    def fail() -> None:
        raise KeyError("secret")

    backend = FakeBackend({"broken": fail})
    vetted = vet(spec("broken"), backend, FakeEnds(), num_words=8)  # type: ignore[arg-type]
    assert vetted.error is None and vetted.fault is not None and "secret" in vetted.fault


def test_the_library_is_the_one_that_the_setup_names() -> None:
    pieces = (*VOCABULARY.pieces, b"")
    setup = GrammarSetup("llguidance", "none", msgspec.structs.replace(VOCABULARY, pieces=pieces))
    setup = msgspec.structs.replace(
        setup, vocabulary=msgspec.structs.replace(setup.vocabulary, end_token_ids=(256,))
    )
    vetted = make_vetter(setup)(GrammarSpec("json_schema", '{"const": {"a": 1}}'))
    assert bytes(vetted.shortest_end) == b'{"a":1}'
