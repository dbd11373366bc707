"""One process, seen from the thread that owns it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from sglite.ipc.grammar_helper import GrammarHelper, HelperDiedError, HelperLateError
from tests.ipc.fake_grammars import MODULE, SETUP, spec
from tests.ipc.harness import WAIT_S


@pytest.fixture
def helper() -> Iterator[GrammarHelper]:
    helper = GrammarHelper(module=MODULE)
    helper.start(SETUP)
    yield helper
    helper.close()
    helper.end()
    assert helper.pid is None


def test_it_answers_one_after_the_other_and_says_how_it_ended(helper: GrammarHelper) -> None:
    pid = helper.pid
    assert helper.vet(spec("abc"), limit_s=WAIT_S).shortest_end == (97, 98, 99)
    assert helper.vet(spec("bad"), limit_s=WAIT_S).error == "regex is bad"
    helper.start(SETUP)
    assert helper.pid == pid, "it ran already"
    with pytest.raises(HelperDiedError) as death:
        helper.vet(spec("crash"), limit_s=WAIT_S)
    assert death.value.exit_code == -signal.SIGABRT and not death.value.was_killed
    assert helper.pid is None
    helper.start(SETUP)
    assert helper.pid not in (None, pid)
    with pytest.raises(HelperLateError):
        helper.vet(spec("hang"), limit_s=0.2)
    assert helper.pid is None


def test_closing_from_another_thread_ends_a_wait(helper: GrammarHelper) -> None:
    helper.vet(spec("abc"), limit_s=WAIT_S)
    timer = threading.Timer(0.1, helper.close)
    timer.start()
    with pytest.raises(HelperDiedError):
        helper.vet(spec("hang"), limit_s=WAIT_S)
    timer.join()
    with pytest.raises(HelperDiedError):
        helper.start(SETUP)
