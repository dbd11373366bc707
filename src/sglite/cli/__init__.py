"""The command ``sglite``.

Outside the eight steps: it stands where the requests come from and the answers go to.
Receives a command line · hands on prompts and options to ``sglite.LLM`` · does not know about
pages, steps or tensors.

Exit codes: 0 done, 1 failed while running, 2 bad usage or model, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line, ``sys.argv`` where none is given, and return the exit code."""
    try:
        from sglite.cli.entry import run
    except KeyboardInterrupt:
        return 130
    return run(argv)
