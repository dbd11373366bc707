"""Lines that a person types: edited and remembered in a terminal, read plainly otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from sglite.cli.text_input import read_text
from sglite.config_sources import state_directory

ReadLine = Callable[[str], str]


def line_reader(*, keep_history: bool = True) -> ReadLine:
    """A function that shows a prompt and returns a line.

    It raises EOFError at the end of input (Ctrl-D) and KeyboardInterrupt at Ctrl-C.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return read_plain_line
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory

    path = history_file() if keep_history else None
    history: History = InMemoryHistory() if path is None else FileHistory(str(path))
    session: PromptSession[str] = PromptSession(history=history)
    return session.prompt


def read_plain_line(prompt: str) -> str:
    """The next line of standard input, without its end; shows no prompt."""
    line = read_text(sys.stdin.readline)
    if not line:
        raise EOFError
    return line.rstrip("\r\n")


def history_file() -> Path | None:
    """The file of lines typed before, readable by its owner alone; None where it cannot be made."""
    path = state_directory() / "chat_history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError:
        return None
    return path
