import io

import pytest

from sglite.cli import demo, main
from sglite.request import FinishReason


@pytest.fixture(autouse=True)
def no_terminal(stdin):
    stdin("")


def test_three_questions_are_answered_with_their_speed(llm, capsys):
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert [line[2:] for line in out.splitlines() if line.startswith("> ")] == list(demo.QUESTIONS)
    assert "echo Who are you?\n(17 tokens, 34.0 tokens/s)" in out
    assert [call[0] for call in llm.calls] == ["chat_stream"] * 3
    assert all(call[2].is_greedy for call in llm.calls)
    main(["demo", "--temperature", "0.5"])
    assert llm.calls[-1][2].temperature == 0.5


def test_answer_without_text_is_a_failure(llm):
    llm.answer = lambda prompt: "" if "17" in prompt else "text"
    assert main(["demo", "--model", "m"]) == 1


def test_answer_that_ended_in_an_error_is_a_failure(llm):
    llm.finish_reason = FinishReason.ERROR
    assert main(["demo", "--model", "m"]) == 1


def test_model_without_template_is_asked_in_plain_text(llm):
    llm.__init__(has_chat_template=False)
    assert main(["demo", "--model", "m"]) == 0
    assert llm.calls[0][0] == "stream" and llm.calls[0][2].max_new_tokens == 128


def test_several_answers_at_once_are_refused(llm, capsys):
    assert main(["demo", "--model", "m", "--n", "2"]) == 2
    assert "--n: a chat has one answer at a time" in capsys.readouterr().err


def test_terminal_gets_a_chat(llm, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("hello\n"))
    assert main(["demo", "--model", "m"]) == 0
    assert [call[1][-1]["content"] for call in llm.calls] == ["hello"]
