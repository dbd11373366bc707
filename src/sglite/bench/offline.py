"""Time batches offline: mixed lengths, a shared prefix, chats. No server, token ids in and out.

    sglite bench offline --model DIR                     (W2, W3, W7, W6; 3 rounds)
    sglite bench offline --model DIR --workloads W3 --repeat 5 --page-size 32 --out DIR
    sglite bench offline --shrink 16                     (the embedded model, a quick try)

The flags of the engine are those of `sglite serve`. docs/benchmarks/workloads.md says what runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sglite.bench.suite.command import add_suite_arguments, read_session, run_session
from sglite.bench.suite.figures import OURS
from sglite.bench.suite.rounds import Contender

ALLOWED = ("W2", "W3", "W6", "W7", "W5/W2")


def main(
    argv: Sequence[str] | None = None,
    *,
    parser_class: type[argparse.ArgumentParser] = argparse.ArgumentParser,
) -> int:
    """Measure; 1 where an answer was not what was asked for. Raises ConfigError."""
    parser = parser_class(prog="sglite bench offline", description=__doc__)
    add_suite_arguments(parser, default="W2,W3,W7,W6", rounds="--repeat")
    session = read_session(parser, argv, ALLOWED)
    return run_session(session, [Contender(OURS, session.own_engine, frozenset(ALLOWED))])


if __name__ == "__main__":
    raise SystemExit(main())
