import io

import pytest

from sglite.cli.output import (
    is_complete,
    summary,
    tokens_per_second,
    write_answer,
    write_json,
    write_pieces,
)
from sglite.request import FinishReason
from tests.cli.fakes import FakeChunk, FakeGeneration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_gets_no_control_characters(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    write_answer("a\x1b[2Jb\n\tc\x07é\x9b")
    assert terminal.getvalue() == "a�[2Jb\n\tc�é�"


def chunks():
    generation = FakeGeneration("ab", [1, 2], [3])
    return [FakeChunk("a", [1]), FakeChunk("b", [2]), FakeChunk("", [], generation)]


class Writes(Terminal):
    """A terminal that remembers what was written at once."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return len(text)


@pytest.mark.parametrize(
    ("level", "pieces"), [("warning", ["a", "b", ""]), ("debug", ["ab"])], ids=["quiet", "debug"]
)
def test_answer_does_not_run_into_the_log_of_the_steps(monkeypatch, level, pieces):
    terminal = Writes()
    monkeypatch.setattr("sys.stdout", terminal)
    text, finished = write_pieces(chunks(), log_level=level)
    assert (terminal.pieces, text) == (pieces, "ab") and finished is not None


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
