"""What an engine and its processes for grammars say to each other: msgpack of closed structs.

GrammarSetup, answered by a Vetted once the process is there; then by turns a Vet and a Vetted.
"""

from __future__ import annotations

import msgspec

from sglite.grammar.specs import Whitespace
from sglite.grammar.vocabulary import Vocabulary
from sglite.request import GrammarSpec


class GrammarSetup(msgspec.Struct, frozen=True):
    """From what grammars are compiled: a library by name, the treatment of white space, the tokens.

    ``max_extra_bytes``: how far the process may grow once it has these.
    """

    backend: str
    whitespace: Whitespace
    vocabulary: Vocabulary
    max_extra_bytes: int = 1 << 30


class Vet(msgspec.Struct, frozen=True):
    """See whether this grammar can be compiled and used; the process ends if that takes longer
    than ``limit_s``.
    """

    spec: GrammarSpec
    limit_s: float


class Vetted(msgspec.Struct, frozen=True):
    """What a grammar is like, or why it is refused: ``error`` is for the client, ``param`` names
    its field. ``shortest_end`` are the tokens of the shortest answer that was found. ``fault`` is
    for our log.
    """

    shortest_end: tuple[int, ...] = ()
    error: str | None = None
    param: str | None = None
    fault: str | None = None
