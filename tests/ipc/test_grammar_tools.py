from __future__ import annotations

import threading
import time

from sglite.ipc.grammar_messages import GrammarSetup
from sglite.ipc.grammar_tools import GrammarTools
from tests.ipc.fake_grammars import SETUP, FakeBackend, FakeEnds


def test_nothing_is_made_before_it_is_wanted_and_then_once() -> None:
    made: list[str] = []

    def make(name: str, value: object) -> object:
        made.append(name)
        time.sleep(0.01)  # so that others come meanwhile
        return value

    tools = GrammarTools(
        lambda: make("setup", SETUP),  # type: ignore[arg-type, return-value]
        make_backend=lambda setup: make("backend", FakeBackend()),  # type: ignore[arg-type, return-value]
        make_ends=lambda setup: make("ends", FakeEnds()),  # type: ignore[arg-type, return-value]
    )
    assert made == []
    threads = [
        threading.Thread(target=want)
        for want in (tools.backend, tools.ends, tools.setup, tools.backend, tools.ends)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == ["backend", "ends", "setup"]
    assert tools.backend() is tools.backend() and tools.ends() is tools.ends()


def test_the_library_gets_the_setup() -> None:
    seen: list[GrammarSetup] = []
    tools = GrammarTools(
        lambda: SETUP, make_backend=lambda setup: seen.append(setup) or FakeBackend()
    )
    tools.backend()
    assert seen == [SETUP]
