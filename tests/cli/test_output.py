import io

import pytest

from sglite.cli.output import is_complete, summary, tokens_per_second, write_answer, write_json
from sglite.request import FinishReason
from tests.cli.fakes import FakeGeneration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_gets_no_control_characters(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    write_answer("a\x1b[2Jb\n\tc\x07é\x9b")
    assert terminal.getvalue() == "a�[2Jb\n\tc�é�"


def test_file_gets_the_answer_as_it_is(capsys):
    write_answer("a\x1bb")
    assert capsys.readouterr().out == "a\x1bb"


def test_json_keeps_letters(capsys):
    write_json({"text": "Zürich"})
    assert capsys.readouterr().out == '{"text": "Zürich"}\n'


def test_figures_of_an_answer():
    generation = FakeGeneration("ab", [1, 2], [3], e2e_s=0.5)
    assert tokens_per_second(generation) == 4.0
    assert summary(generation).endswith("tokens/s=4.0 finish=stop")
    assert tokens_per_second(FakeGeneration("", [], [3], e2e_s=0.0)) == 0.0


@pytest.mark.parametrize("reason", FinishReason)
def test_only_stop_and_length_are_complete(reason):
    generation = FakeGeneration("", [], [], finish_reason=reason)
    assert is_complete(generation) == (reason in (FinishReason.STOP, FinishReason.LENGTH))
