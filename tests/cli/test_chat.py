import pytest

from sglite.cli import main
from sglite.cli.chat import converse
from sglite.cli.chat_session import ChatSession
from sglite.request import SamplingParams
from tests.cli.fakes import FakeLLM


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
