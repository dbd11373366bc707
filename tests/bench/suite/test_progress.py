from __future__ import annotations

import io
import sys

from sglite.bench.suite.progress import rounds_progress
from tests.bench.suite.outcomes import make_outcome

OUTCOME = make_outcome()
TOLD = (OUTCOME.jobs[2], "sglite", OUTCOME.records["W2"]["sglite"])


def test_a_file_gets_a_line_per_run(capsys):
    with rounds_progress(2) as tell:
        tell(*TOLD)
    assert capsys.readouterr().err == "W2 sglite: 40.0 s, 2.50 tok/s\n"


def test_a_terminal_gets_the_same_above_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with rounds_progress(2) as tell:
        tell(*TOLD)
    assert "W2 sglite: 40.0 s, 2.50 tok/s" in terminal.getvalue()
