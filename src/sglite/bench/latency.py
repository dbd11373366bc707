"""Time what one user waits for: a cold start, a single stream, a long prompt.

    sglite bench latency --model DIR                     (W0, W1, W4; 3 rounds)
    sglite bench latency --workloads W0,W1               (the embedded model)

The flags of the engine are those of `sglite serve`. docs/benchmarks/workloads.md says what runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sglite.bench.suite.command import add_suite_arguments, read_session, run_session
from sglite.bench.suite.figures import OURS
from sglite.bench.suite.rounds import Contender

ALLOWED = ("W0", "W1", "W4", "W5/W1")


def main(
    argv: Sequence[str] | None = None,
    *,
    parser_class: type[argparse.ArgumentParser] = argparse.ArgumentParser,
) -> int:
    """Measure; 1 where an answer was not what was asked for. Raises ConfigError."""
    parser = parser_class(prog="sglite bench latency", description=__doc__)
    add_suite_arguments(parser, default="W0,W1,W4", rounds="--repeat")
    session = read_session(parser, argv, ALLOWED)
    return run_session(session, [Contender(OURS, session.own_engine, frozenset(ALLOWED))])


if __name__ == "__main__":
    raise SystemExit(main())
