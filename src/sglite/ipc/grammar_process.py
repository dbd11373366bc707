"""The process that vets grammars: ``python -m sglite.ipc.grammar_process``.

It answers one grammar after the other until its parent is gone. It may be ended at any moment, by
its parent, its clock or its limit of memory, and so may a library that crashes: it has nothing that
anybody would miss. It never imports torch, and so it is there soon.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sglite.errors import RequestError
from sglite.grammar.backend import GrammarBackend, GrammarTooComplexError
from sglite.grammar.shortest_answer import MAX_END_TOKENS, shortest_answer
from sglite.grammar.trial import try_out
from sglite.ipc.frames import encode
from sglite.ipc.grammar_messages import GrammarSetup, Vet, Vetted
from sglite.ipc.grammar_tools import backend_of, ends_of
from sglite.ipc.spawning import parents_socket, read_frames
from sglite.request import GrammarSpec

if TYPE_CHECKING:
    from sglite.grammar.closing import EndFinder

NICENESS = 5
"""Below the threads that compute tokens, yet not so far that a usual grammar would be late."""
STATM = Path("/proc/self/statm")

VetOne = Callable[[GrammarSpec], Vetted]


def main() -> None:
    """Answer until the parent is gone."""
    serve(make_vetter)


def serve(make: Callable[[GrammarSetup], VetOne]) -> None:
    """Vet grammars with what ``make`` gives for the setup that the parent sends first."""
    with parents_socket() as sock, sock.makefile("rb") as stream:
        frames = read_frames(stream)
        first = next(frames, None)
        if first is None:
            return
        with suppress(BrokenPipeError, ConnectionResetError):  # it may go at any moment
            _answer(sock, frames, msgspec.msgpack.decode(first, type=GrammarSetup), make)


def _answer(
    sock: socket.socket,
    frames: Iterator[bytes],
    setup: GrammarSetup,
    make: Callable[[GrammarSetup], VetOne],
) -> None:
    vet_one = make(setup)
    limit_resources(setup.max_extra_bytes)
    sock.sendall(encode(Vetted()))
    decoder = msgspec.msgpack.Decoder(Vet)
    for frame in frames:
        question = decoder.decode(frame)
        # The parent keeps the time; should it die while native code runs here, this ends it.
        signal.setitimer(signal.ITIMER_REAL, question.limit_s)
        answer = vet_one(question.spec)
        signal.setitimer(signal.ITIMER_REAL, 0)
        sock.sendall(encode(answer))


def limit_resources(max_extra_bytes: int) -> None:
    """From here on little memory, no core dumps, and the engine's threads go first."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # there is no such file everywhere; nor is the limit obeyed there
        pages = int(STATM.read_text().split()[0])
        limit = pages * resource.getpagesize() + max_extra_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    os.nice(NICENESS)


def make_vetter(setup: GrammarSetup) -> VetOne:
    """What vets grammars with the library that ``setup`` names."""
    backend, ends = backend_of(setup), ends_of(setup)
    num_words = setup.vocabulary.num_words
    return lambda spec: vet(spec, backend, ends, num_words=num_words)


def vet(spec: GrammarSpec, backend: GrammarBackend, ends: EndFinder, *, num_words: int) -> Vetted:
    """Compile a grammar, find its shortest answer, and walk through it."""
    try:
        end = _shortest_end(spec, backend, ends, num_words=num_words)
    except RequestError as error:
        return Vetted(error=str(error), param=error.param or spec.kind)
    except GrammarTooComplexError:
        return _refusal(spec, "is too complex: the library gave up; simplify it")
    except (MemoryError, RecursionError):
        return _refusal(spec, "is too large; simplify it")
    except Exception:  # noqa: BLE001  a fault of ours: the parent logs it, and this goes on
        return Vetted(fault=traceback.format_exc())
    return Vetted(shortest_end=tuple(end))


def _shortest_end(
    spec: GrammarSpec, backend: GrammarBackend, ends: EndFinder, *, num_words: int
) -> list[int]:
    compiled = backend.compile(spec)
    end = shortest_answer(spec, compiled, ends)
    if end is None:
        raise RequestError(
            f"no text was found that fits {spec.kind}, of at most {MAX_END_TOKENS:,} tokens and in "
            "the time for the search; give it an easier way to an end",
            param=spec.kind,
        )
    try_out(compiled, end, num_words=num_words)
    return end


def _refusal(spec: GrammarSpec, reason: str) -> Vetted:
    return Vetted(error=f"{spec.kind} {reason}", param=spec.kind)


if __name__ == "__main__":
    main()
