"""What a program sees of its state, and what forks bring home."""

from __future__ import annotations

import asyncio

import pytest

from sglite import lang
from sglite.errors import RequestError
from sglite.lang.interpreter import Interpreter
from sglite.lang.state import ProgramState
from tests.lang.fake_backend import FakeBackend


@pytest.fixture
def s():
    return ProgramState(Interpreter(FakeBackend(), {}, {}, is_streaming=True))


def test_appending_reading_and_setting(s):
    s += "say hi "
    s += lang.gen("x")
    assert "x" in s and "y" not in s and 5 not in s
    assert s["x"] == "HI"
    s["y"] = 3
    assert s["y"] == 3
    assert s.get_meta_info("x") == {"number": 0}
    assert s.get_meta_info("y") is None
    assert s.text() == "say hi HI"
    assert s.error() is None


def test_messages_in_all_four_ways(s):
    s += lang.system("Be brief.")
    s.user("One")
    with s.assistant():
        s += "Say: "
        s += lang.gen("x")
    s += lang.user_begin()
    s += "Two"
    s += lang.user_end()
    assert [(each["role"], each["content"]) for each in s.messages()] == [
        ("system", "Be brief."),
        ("user", "One"),
        ("assistant", "Say: <ASSISTANT>SAY:"),
        ("user", "Two"),
    ]
    assert s.text().endswith("<assistant>Say: <ASSISTANT>SAY:</>\n<user>Two</>\n")


def test_a_scope_makes_its_text_a_variable(s):
    s += "a "
    with s.var_scope("both"):
        s += "b "
        s += lang.gen("x")
    assert s["both"] == "b B"


def test_forks_gather_their_new_variables_in_lists(s):
    s += "word "
    s += lang.gen("old")
    forks = s.fork(3)
    for number, fork in enumerate(forks):
        fork += f" n{number} "
        fork += lang.gen("new")
    forks.join()
    assert s["new"] == ["N0", "N1", "N2"]
    assert s["old"] == "WORD"
    assert len(forks) == 3 and forks[1]["new"] == "N1"
    assert s.text() == "word WORD"


def test_forks_can_be_joined_by_their_texts(s):
    s += "a"
    forks = s.fork(2)
    for fork in forks:
        fork += " b "
        fork += lang.gen("x")
    forks.join("concate_and_append")
    assert s.text() == "a b B b B"
    with pytest.raises(RequestError, match="other"):
        forks.join("other")


def test_a_copy_is_one_fork(s):
    s += "a "
    with s.copy() as twin:
        twin += lang.gen("x")
    assert s["x"] == ["A"]


def test_a_fork_that_fails_is_told_by_join(s):
    forks = s.fork(2)
    forks[0].user("fine")
    forks[1].interpreter.submit(lang.user_end())
    with pytest.raises(RequestError, match="none is open"):
        forks.join()
    assert s.error() is None


def test_text_comes_in_an_event_loop_too(s):
    s += "abc "
    s += lang.gen("x")
    s.interpreter.close()

    async def read():
        return [piece async for piece in s.text_async_iter()]

    assert "".join(asyncio.run(read())) == "abc ABC"
    assert "".join(s.text_iter("x")) == "ABC"


def test_nothing_cannot_be_appended(s):
    with pytest.raises(TypeError):
        s += None
