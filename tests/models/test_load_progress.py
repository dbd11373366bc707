import io
import sys

from sglite.models.load_progress import load_progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(stream, monkeypatch, *, show=True):
    monkeypatch.setattr(sys, "stderr", stream)
    with load_progress(10, show=show) as advance:
        advance(4)
        advance(6)
    return stream.getvalue()


def test_a_terminal_shows_the_bar(monkeypatch):
    assert "100%" in run(Terminal(), monkeypatch)


def test_nothing_is_drawn_elsewhere_or_when_switched_off(monkeypatch):
    assert run(io.StringIO(), monkeypatch) == ""
    assert run(Terminal(), monkeypatch, show=False) == ""
