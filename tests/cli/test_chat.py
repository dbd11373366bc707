import pytest

from sglite.cli import main
from sglite.cli.chat import converse
from sglite.cli.chat_session import ChatSession
from sglite.request import SamplingParams
from tests.cli.fakes import FakeLLM
from tests.client.fake_server import FakeServer, Reply, chat_events


def test_conversation_can_be_piped_in(llm, stdin, capsys):
    stdin("one\n/reset\ntwo\n")
    assert main(["chat", "--model", "m", "--system", "s", "--temperature", "0"]) == 0
    assert capsys.readouterr().out == "echo one\necho two\n"
    assert [message["content"] for message in llm.calls[1][1]] == ["s", "two"]
    assert llm.calls[0][2] == SamplingParams(temperature=0.0, max_new_tokens=None)
    assert llm.is_closed


def test_exit_leaves_the_rest_unread(llm, stdin):
    stdin("/exit\none\n")
    assert main(["chat", "--model", "m"]) == 0
    assert llm.calls == []


def test_model_without_template_is_refused_with_what_to_do(llm, stdin, capsys):
    llm.__init__(has_chat_template=False)
    stdin("")
    assert main(["chat", "--model", "m"]) == 2
    assert "give --chat-template FILE" in capsys.readouterr().err


def test_several_answers_at_once_are_refused(llm, stdin):
    stdin("")
    assert main(["chat", "--model", "m", "--n", "2"]) == 2


def typing(*lines):
    """A reader of these lines; an exception among them is raised in its turn."""
    rest = iter(lines)

    def read_line(prompt):
        line = next(rest)
        if isinstance(line, BaseException):
            raise line
        return line

    return read_line


def test_ctrl_c_at_the_prompt_does_not_end_the_chat(capsys):
    fake = FakeLLM()
    read_line = typing(KeyboardInterrupt(), "one", KeyboardInterrupt(), "two", EOFError())
    converse(ChatSession(fake, SamplingParams()), read_line)
    assert len(fake.calls) == 2
    assert "Ctrl-D or /exit leaves" in capsys.readouterr().err


def test_ctrl_c_twice_in_a_row_leaves_in_peace():
    fake = FakeLLM()
    read_line = typing(KeyboardInterrupt(), KeyboardInterrupt(), "one")
    converse(ChatSession(fake, SamplingParams()), read_line)
    assert fake.calls == []


def test_second_ctrl_c_during_an_answer_leaves():
    fake = FakeLLM(error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        converse(ChatSession(fake, SamplingParams()), typing("one"))


@pytest.fixture
def server():
    events = chat_events("Hi ", "there", reasoning=("thinking",))
    with FakeServer(**{"/v1/chat/completions": Reply(events=events)}) as fake:
        yield fake


def test_chat_with_a_server_streams_its_answers_and_loads_nothing(
    server, stdin, capsys, monkeypatch
):
    def fail(*_):
        raise AssertionError("an engine was started")

    monkeypatch.setattr("sglite.cli.engine.make_llm", fail)
    monkeypatch.setenv("SGLITE_API_KEY", "k7")
    stdin("one\n/stats\ntwo\n")
    assert main(["chat", "--url", server.url, "--temperature", "0"]) == 0
    out, err = capsys.readouterr()
    assert out == "Hi there\nHi there\n"
    assert "thinking\n" in err
    assert "tokens=3" in err
    bodies = server.bodies("/v1/chat/completions")
    assert [message["role"] for message in bodies[1]["messages"]] == ["user", "assistant", "user"]
    assert bodies[0]["temperature"] == 0.0
    assert "max_tokens" not in bodies[0]
    assert server.asked[0].headers["authorization"] == "Bearer k7"


def test_a_failing_server_does_not_end_the_chat(server, stdin, capsys):
    server.replies["/v1/chat/completions"] = Reply({"error": {"message": "oops"}}, status=500)
    stdin("one\n/help\n")
    assert main(["chat", "--url", server.url, "--served-model-name", "m"]) == 0
    err = capsys.readouterr().err
    assert "answered 500: oops" in err
    assert "/retry" in err, "the session goes on"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--url", "http://127.0.0.1:1", "--page-size", "4"], "--page-size is for an engine here"),
        (["--url", "ftp://x"], "not the URL of a server"),
        (["--url", "http://127.0.0.1:1", "--n", "2"], "one answer at a time"),
        (["--api-key", "k"], "belong to --url"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(flags, message, stdin, capsys):
    stdin("")
    assert main(["chat", *flags]) == 2
    assert message in capsys.readouterr().err


def test_a_server_that_is_not_there_is_said_at_once(stdin, capsys):
    stdin("one\n")
    assert main(["chat", "--url", "http://127.0.0.1:1"]) == 1
    assert "127.0.0.1:1 cannot be reached" in capsys.readouterr().err
