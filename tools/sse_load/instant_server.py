"""``sglite serve`` in front of an engine that answers at once, to measure the server alone.

    python -m tools.sse_load.instant_server --port 30000
    INSTANT_STEP_MS=5 python -m tools.sse_load.instant_server --port 30000

The flags are those of ``sglite serve``. Every answer repeats the last token of its prompt: send
``ignore_eos``, and no stops. At full speed the engine is ahead of the server, which then writes
several events at once; with steps of 5 ms, 64 streams ask for 12,800 tokens per second evenly, and
the time between events is that of the server. Run it in the repository's folder: the engine's
process is started as a module from there.
"""

from __future__ import annotations

import sys

from sglite.cli import main as sglite
from sglite.ipc import engine_launcher

ENGINE_MODULE = "tools.sse_load.instant_engine"


def main() -> int:
    """Serve until stopped; the exit code of ``sglite serve``."""
    engine_launcher.MODULE = ENGINE_MODULE
    return sglite(["serve", *sys.argv[1:]])


if __name__ == "__main__":
    raise SystemExit(main())
