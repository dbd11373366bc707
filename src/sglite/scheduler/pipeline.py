"""How the stages of a pipeline are kept busy: each computes another step, with other sequences.

With 2 stages and the sequences a, b, c, d:

    step       1     2     3     4
    stage 0   a b | c d | a b | c d |
    stage 1       | a b | c d | a b | c d

The token of ``a`` leaves stage 1 before step 3 is planned, so the host knows every token that it
plans. Chunks of one prompt need no token: they follow each other in consecutive steps.
"""

from __future__ import annotations

from sglite.scheduler.sequence import Sequence


def fair_share(ready: list[Sequence], num_awaited: int, num_stages: int) -> list[Sequence]:
    """The decodes that a step takes, of those ``ready`` for one: as many as leave work for every
    stage.

    No step takes more than its part of all decoding sequences, among which are the ``num_awaited``
    in open steps. Else the first step would take them all, and all stages but one would idle. Those
    that were planned longest ago go first, so that none is passed over for ever.
    """
    share = -(-(len(ready) + num_awaited) // num_stages)
    if len(ready) <= share:
        return ready
    return sorted(ready, key=lambda sequence: sequence.last_step)[:share]
