import json
import signal

import pytest

from sglite.cli.chat_session import ChatSession
from sglite.errors import CapacityError, RequestError
from sglite.request import FinishReason, SamplingParams
from tests.cli.fakes import FakeLLM


@pytest.fixture
def fake():
    return FakeLLM()


@pytest.fixture
def session(fake):
    return ChatSession(fake, SamplingParams(), system="be kind")


def contents(session):
    return [message["content"] for message in session.messages]


def test_questions_and_answers_are_remembered(session, fake, capsys):
    session.handle("one")
    session.handle("  two ")
    assert contents(session) == ["be kind", "one", "echo one", "two", "echo two"]
    assert [m["content"] for m in fake.calls[1][1]] == ["be kind", "one", "echo one", "two"]
    assert capsys.readouterr().out == "echo one\necho two\n"


def test_empty_line_does_nothing(session, fake):
    session.handle("  ")
    assert fake.calls == []


def test_reset_keeps_the_system_message(session, capsys):
    session.handle("one")
    session.handle("/reset")
    assert contents(session) == ["be kind"] and session.last is None
    assert "(conversation forgotten)" in capsys.readouterr().err


def test_system_message_starts_a_new_conversation(session, capsys):
    session.handle("one")
    session.handle("/system be brief  ")
    assert contents(session) == ["be brief"]
    session.handle("/system")
    assert contents(session) == []


def test_retry_answers_the_last_question_again(session, fake):
    session.handle("one")
    fake.answer = lambda prompt: "other"
    session.handle("/retry")
    assert contents(session) == ["be kind", "one", "other"]


def test_retry_that_fails_keeps_the_old_answer(session, fake):
    session.handle("one")
    fake.error = CapacityError("full")
    session.handle("/retry")
    assert contents(session) == ["be kind", "one", "echo one"]


def test_retry_without_a_question_says_so(session, fake, capsys):
    session.handle("/retry")
    assert "nothing to retry" in capsys.readouterr().err and fake.calls == []


@pytest.mark.parametrize("error", [RequestError("too long"), CapacityError("full")])
def test_refused_question_is_taken_back_and_the_chat_goes_on(session, fake, capsys, error):
    fake.error = error
    session.handle("one")
    assert contents(session) == ["be kind"]
    assert f"{error} (/reset forgets" in capsys.readouterr().err
    fake.error = None
    session.handle("two")
    assert contents(session) == ["be kind", "two", "echo two"]


def test_other_errors_end_the_chat_and_leave_the_messages_whole(session, fake):
    fake.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        session.handle("one")
    assert contents(session) == ["be kind"]


def test_ctrl_c_stops_the_answer_and_keeps_what_was_said(session, fake, capsys):
    fake.on_chunk = lambda index: signal.raise_signal(signal.SIGINT) if index == 3 else None
    session.handle("one")
    assert contents(session) == ["be kind", "one", "echo"]
    assert (fake.num_aborted, fake.num_open) == (1, 0)
    assert "(stopped)" in capsys.readouterr().err
    fake.on_chunk = lambda index: None
    session.handle("two")
    assert contents(session)[-1] == "echo two"


def test_answer_that_ended_early_is_marked(session, fake, capsys):
    fake.finish_reason = FinishReason.ABORT
    session.handle("one")
    assert "ended early: abort" in capsys.readouterr().err


def test_save_writes_the_conversation(session, tmp_path, capsys):
    path = tmp_path / "chat.json"
    session.handle("Zürich")
    session.handle(f"/save {path}")
    session.handle(f"/save {path}")
    assert json.loads(path.read_text(encoding="utf-8"))["messages"] == session.messages
    assert json.loads(path.read_text(encoding="utf-8"))["model"] == "embedded"
    assert "saved 3 messages" in capsys.readouterr().err


def test_save_overwrites_no_file_of_others(session, tmp_path, capsys):
    path = tmp_path / "mine.txt"
    path.write_text("precious")
    session.handle(f"/save {path}")
    session.handle("/save /does/not/exist/x")
    session.handle("/save")
    assert path.read_text() == "precious"
    said = capsys.readouterr().err
    assert "exists; give another name" in said and "No such file" in said and "/save FILE" in said


def test_stats_show_the_last_answer_and_the_engine(session, capsys):
    session.handle("/stats")
    session.handle("one")
    session.handle("/stats")
    said = capsys.readouterr().err
    assert said.count("  running                   0\n  cached_tokens             7\n") == 2
    assert said.count("tokens/s=") == 1


def test_help_lists_every_command_and_exit_ends(session, capsys):
    session.handle("/help")
    text = capsys.readouterr().err
    assert all(f"\n  {name}" in f"\n{text}" for name in session.commands)
    session.handle("/exit")
    assert session.is_over


@pytest.mark.parametrize("line", ["/quit", "/EXIT", "/Quit"])
def test_commands_have_any_case_and_quit_is_exit(session, line):
    session.handle(line)
    assert session.is_over


def test_unknown_command_is_not_sent_to_the_model(session, fake, capsys):
    session.handle("/rest")
    session.handle("/zzzzzzz")
    said = capsys.readouterr().err
    assert "/rest is not a command; the nearest one is /reset" in said
    assert "/zzzzzzz is not a command\n" in said and fake.calls == []
