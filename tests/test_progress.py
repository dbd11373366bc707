from __future__ import annotations

import io

import pytest

from sglite.progress import generation_progress


class Terminal(io.StringIO):
    """Standard error on a terminal."""

    def isatty(self) -> bool:
        return True


def shown(file: io.StringIO, num_requests: int, *, show: bool | None) -> str:
    """What a call of so many requests writes to standard error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", file)
        patch.setenv("TERM", "xterm")
        with generation_progress(num_requests, show=show) as advance:
            for _ in range(num_requests):
                advance(5, False)
                advance(1, True)
    return file.getvalue()


def test_a_bar_counts_the_answers_and_the_speed() -> None:
    text = shown(Terminal(), 3, show=True)
    assert "answers" in text and "3/3" in text and "tok/s" in text


@pytest.mark.parametrize(("num_requests", "is_shown"), [(0, False), (1, False), (2, True)])
def test_by_default_a_terminal_gets_a_bar_for_several(num_requests: int, is_shown: bool) -> None:
    assert bool(shown(Terminal(), num_requests, show=None)) == is_shown


def test_by_default_a_file_gets_none() -> None:
    assert shown(io.StringIO(), 3, show=None) == ""


def test_nobody_gets_one_who_does_not_want_it() -> None:
    assert shown(Terminal(), 3, show=False) == ""
