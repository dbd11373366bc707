"""Expressions are carried out in order beside the program; nothing that fails leaves it waiting."""

from __future__ import annotations

import threading

import pytest

from sglite import lang
from sglite.lang import interpreter as module
from sglite.lang.expressions import ScopeBegin, ScopeEnd, Text
from sglite.lang.interpreter import Interpreter
from tests.lang.fake_backend import WAIT_S, FakeBackend


class Broken(Exception):
    pass


def fails(prompt, sampling):
    raise Broken("no model")


def start(backend, *, is_streaming=False, **defaults):
    return Interpreter(backend, defaults, {}, is_streaming=is_streaming)


def threads():
    return [each for each in threading.enumerate() if each.name == "lang"]


def test_submitting_does_not_wait_and_reading_does():
    backend = FakeBackend()
    backend.gate.clear()
    interpreter = start(backend)
    interpreter.submit(Text("one two ") + lang.gen("x"))
    assert interpreter.has("x") and not interpreter.has("y")
    backend.gate.set()
    assert interpreter.read("x").value == "TWO"
    assert interpreter.read("x").meta_info == {"number": 0}
    assert interpreter.chat().text == "one two TWO"


def test_an_idle_interpreter_has_no_thread():
    interpreter = start(FakeBackend())
    for word in ("a", "b", "c"):
        interpreter.submit(Text(word))
    interpreter.sync()
    for thread in threads():
        thread.join(WAIT_S)
    assert not threads()
    interpreter.submit(Text("d"))
    assert interpreter.chat().text == "abcd"


def test_a_name_that_comes_twice_keeps_both_answers_apart():
    interpreter = start(FakeBackend())
    interpreter.submit(Text("one") + lang.gen("x"))
    first = interpreter.read("x")
    interpreter.submit(Text(" two") + lang.gen("x"))
    assert (first.value, interpreter.read("x").value) == ("ONE", "TWO")


def test_defaults_hold_for_what_gen_does_not_say():
    backend = FakeBackend()
    interpreter = Interpreter(
        backend, {"temperature": 0.0, "top_k": 5}, {"return_logprob": True}, is_streaming=False
    )
    interpreter.submit(lang.gen("x", top_k=7))
    interpreter.sync()
    assert backend.asked[0][1:] == ({"temperature": 0.0, "top_k": 7}, {"return_logprob": True})


def test_several_answers_are_a_list_and_the_text_goes_on_with_the_first():
    for is_streaming in (False, True):
        interpreter = start(FakeBackend(), is_streaming=is_streaming)
        interpreter.submit(Text("a ") + lang.gen("x", n=3))
        assert interpreter.read("x").value == ["A", "A1", "A2"]
        assert len(interpreter.read("x").meta_info) == 3
        assert interpreter.chat().text == "a A"


def test_a_failure_reaches_every_reader_and_everything_later():
    backend = FakeBackend(fails)
    interpreter = start(backend)
    interpreter.submit(lang.gen("x") + lang.gen("y"))
    interpreter.submit(lang.gen("z"))
    for name in ("x", "y", "z"):
        with pytest.raises(Broken):
            interpreter.read(name)
    interpreter.submit(lang.gen("later"))
    with pytest.raises(Broken):
        interpreter.read("later")
    for read in (interpreter.sync, interpreter.chat, interpreter.fork, interpreter.values):
        with pytest.raises(Broken):
            read()
    with pytest.raises(Broken):
        list(interpreter.pieces(None))
    assert isinstance(interpreter.error(), Broken)
    assert len(backend.asked) == 1


def test_what_was_finished_before_a_failure_can_still_be_read():
    interpreter = start(FakeBackend(lambda prompt, sampling: fails(0, 0) if sampling else "ok"))
    interpreter.submit(lang.gen("x"))
    interpreter.submit(lang.gen("y", 5))
    with pytest.raises(Broken):
        interpreter.read("y")
    assert interpreter.read("x").value == "ok"
    assert list(interpreter.pieces("x")) == ["ok"]


def test_an_unknown_variable_is_named_with_those_there_are():
    interpreter = start(FakeBackend())
    interpreter.submit(lang.gen("x"))
    with pytest.raises(KeyError, match="no variable 'y'; there are: x"):
        interpreter.read("y")


def test_a_variable_that_never_ends_is_not_waited_for():
    interpreter = start(FakeBackend())
    interpreter.submit(ScopeBegin("x"))
    with pytest.raises(KeyError, match="has not ended"):
        interpreter.read("x")
    interpreter.submit(Text("inside"))
    interpreter.submit(ScopeEnd("x"))
    assert interpreter.read("x").value == "inside"


def test_pieces_come_while_the_model_speaks():
    interpreter = start(FakeBackend(), is_streaming=True)
    interpreter.submit(Text("abc ") + lang.gen("x"))
    interpreter.close()
    assert "".join(interpreter.pieces(None)) == "abc ABC"
    assert "".join(interpreter.pieces("x")) == "ABC"
    assert interpreter.read("x").meta_info == {"number": 0}


def test_the_first_piece_is_there_before_the_answer_ends():
    def answer(prompt, sampling):
        return "abc"

    backend = FakeBackend(answer)
    interpreter = start(backend, is_streaming=True)
    interpreter.submit(Text("start"))
    pieces = interpreter.pieces(None)
    assert next(pieces) == "start"
    backend.gate.clear()
    interpreter.submit(lang.gen("x"))
    backend.gate.set()
    assert "".join(pieces) == "abc", "the program's own thread reads what it has appended"


def test_another_thread_reads_until_the_program_ends():
    interpreter = start(FakeBackend())
    read = []
    reader = threading.Thread(target=lambda: read.extend(interpreter.pieces(None)))
    reader.start()
    interpreter.submit(Text("a"))
    interpreter.sync()
    interpreter.submit(Text("b"))
    interpreter.close()
    reader.join(WAIT_S)
    assert "".join(read) == "ab"


def test_pieces_of_a_variable_that_never_comes_end_with_an_error():
    interpreter = start(FakeBackend())
    interpreter.close()
    with pytest.raises(KeyError, match="no variable 'x'"):
        list(interpreter.pieces("x"))


def test_a_program_waits_where_too_much_is_pending(monkeypatch):
    monkeypatch.setattr(module, "MAX_PENDING", 2)
    backend = FakeBackend()
    backend.gate.clear()
    interpreter = start(backend)
    interpreter.submit(lang.gen("x"))
    done = threading.Event()

    def program():
        for _ in range(9):
            interpreter.submit(Text("."))
        done.set()

    threading.Thread(target=program, name="program", daemon=True).start()
    assert not done.wait(0.05)
    backend.gate.set()
    assert done.wait(WAIT_S)
    assert interpreter.chat().text == "NOTHING" + "." * 9


def test_a_failure_frees_a_program_that_waits_to_append(monkeypatch):
    monkeypatch.setattr(module, "MAX_PENDING", 1)
    interpreter = start(FakeBackend(fails))
    for _ in range(9):
        interpreter.submit(lang.gen("x"))
    with pytest.raises(Broken):
        interpreter.sync()


def test_a_fork_begins_with_what_is_there_and_goes_its_own_way():
    interpreter = start(FakeBackend())
    interpreter.submit(Text("a ") + lang.gen("x"))
    fork = interpreter.fork()
    fork.submit(Text(" b ") + lang.gen("y"))
    interpreter.submit(Text("!"))
    assert fork.read("x").value == "A"
    assert fork.chat().text == "a A b B" and fork.fork_start == len("a A")
    assert interpreter.chat().text == "a A!"
    assert not interpreter.has("y")
    interpreter.close()
    assert list(fork.pieces(None)) == ["a A b B"]


def test_a_variable_set_by_the_program_has_its_place_in_the_order():
    interpreter = start(FakeBackend())
    interpreter.submit(lang.gen("x"))
    interpreter.set("x", 7)
    assert interpreter.read("x").value == 7
    assert interpreter.values() == {"x": 7}
