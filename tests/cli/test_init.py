"""The entry point of the command."""

from __future__ import annotations

import builtins

import pytest

from sglite.cli import main


def test_an_interrupt_while_the_command_line_is_imported_has_its_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = builtins.__import__

    def interrupted(name, *rest):
        if name == "sglite.cli.entry":
            raise KeyboardInterrupt
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", interrupted)
    assert main(["--help"]) == 130
