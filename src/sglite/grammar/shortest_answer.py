"""The shortest answer to a grammar: the first end that is known, before there is a text.

What was asked for often gives an end away: a shortest text can be computed from an expression, a
small value from a schema, without asking the grammar library, which only checks them. A search
then looks for one of fewer tokens; where nothing was given away, it goes on for longer.
"""

from __future__ import annotations

import json
import time
from decimal import DecimalException

from sglite.errors import RequestError
from sglite.grammar.backend import CompiledGrammar
from sglite.grammar.closing import EndFinder
from sglite.grammar.ebnf_parser import ROOT, parse_ebnf
from sglite.grammar.expressions import Ref
from sglite.grammar.regex_parser import parse_regex
from sglite.grammar.shortest_texts import shortest_text
from sglite.grammar.small_instances import NOTHING, small_instance
from sglite.grammar.specs import parse_choices
from sglite.request import GrammarSpec

MAX_END_TOKENS = 65_536
EFFORT = 64
"""Places that are looked at for a shorter end than the one that was given away."""
EFFORTS = (256, 1024, 4096, 16_384)
"""Places that are looked at for an end, one after the other: a place may take a hundred times as
long as another, and there is a limit of time."""
SEARCH_S = 0.4
"""After so much processor time there is no further, four times longer search."""
SEPARATORS = ((", ", ": "), (",", ":"))
"""Of the items of an array and behind a name, by the white space that is allowed."""


def shortest_answer(
    spec: GrammarSpec, compiled: CompiledGrammar, ends: EndFinder
) -> list[int] | None:
    """The fewest tokens found that make up a whole answer; None: none found."""
    known = _known_end(spec, compiled, ends)
    if known is not None:
        start, max_tokens = compiled.start(), len(known) - 1
        found = ends.find(start, max_tokens=max_tokens, effort=EFFORT) if max_tokens > 0 else None
        return known if found is None else found
    began_s = time.thread_time()
    for effort in EFFORTS:
        found = ends.find(compiled.start(), max_tokens=MAX_END_TOKENS, effort=effort)
        if found is not None or time.thread_time() - began_s > SEARCH_S:
            return found
    return None


def known_texts(spec: GrammarSpec) -> list[str]:
    """Short texts that the grammar is likely to accept; none where it is of no such kind."""
    try:
        if spec.kind == "json_schema":
            return _json_texts(spec.text)
        if spec.kind == "regex":
            text = shortest_text(parse_regex(spec.text))
        elif spec.kind == "choice":
            text = shortest_text(parse_choices(spec.text))
        elif spec.kind == "ebnf":
            text = shortest_text(Ref(ROOT), parse_ebnf(spec.text))
        else:
            text = None
    except (RequestError, RecursionError):
        return []
    return [] if text is None else [text]


def _known_end(spec: GrammarSpec, compiled: CompiledGrammar, ends: EndFinder) -> list[int] | None:
    start = compiled.start()
    divided = (ends.fewest_tokens(text.encode("utf-8")) for text in known_texts(spec))
    fitting = (end for end in divided if end is not None and start.ends_after(end))
    return min(fitting, key=len, default=None)


def _json_texts(schema_text: str) -> list[str]:
    try:
        value = small_instance(json.loads(schema_text))
    # What is no schema may still compile, if it stands where it never matters.
    except (ValueError, TypeError, AttributeError, KeyError, DecimalException):
        return []
    if value is NOTHING:
        return []
    return [json.dumps(value, ensure_ascii=False, separators=both) for both in SEPARATORS]
