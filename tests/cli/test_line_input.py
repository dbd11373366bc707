import stat

import pytest

from sglite.cli.line_input import history_file, line_reader, read_plain_line


def test_plain_lines_come_without_their_ends_until_the_input_ends(stdin, capsys):
    stdin("one\r\n\nlast")
    read_line = line_reader()
    assert read_line is read_plain_line
    assert [read_line("> ") for _ in range(3)] == ["one", "", "last"]
    with pytest.raises(EOFError):
        read_line("> ")
    assert capsys.readouterr().out == ""


def test_history_is_readable_by_its_owner_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = history_file()
    assert path == tmp_path / "state" / "sglite" / "chat_history"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert history_file() == path


def test_history_that_cannot_be_written_is_done_without(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert history_file() is None


@pytest.mark.parametrize("keep_history", [True, False])
def test_terminal_lines_are_edited_and_remembered(monkeypatch, tmp_path, keep_history):
    from prompt_toolkit.application import create_app_session
    from prompt_toolkit.input import create_pipe_input
    from prompt_toolkit.output import DummyOutput

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        read_line = line_reader(keep_history=keep_history)
        keys.send_text("hellp\x7fo\r")
        assert read_line("> ") == "hello"
        keys.send_text("\x1b[A\r")
        assert read_line("> ") == "hello"
        keys.send_text("\x04")
        with pytest.raises(EOFError):
            read_line("> ")
        keys.send_text("\x03")
        with pytest.raises(KeyboardInterrupt):
            read_line("> ")
    path = tmp_path / "sglite" / "chat_history"
    assert path.exists() == keep_history
