"""Grammars of an engine's requests: prepared before they enter, kept until they end.

    prepare ──▶ the service ──▶ admit ──▶ make_constraint, for each row that they take ──▶ forget

Belongs to the engine's thread, in which its client and its output processor live; ``done`` alone is
called in others.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from sglite.errors import RequestError, SgliteError
from sglite.ipc.grammar_service import Done, GrammarService, Outcome, PreparedGrammar
from sglite.request import GrammarSpec, Request

if TYPE_CHECKING:
    from sglite.grammar.constraint import Constraint
    from sglite.scheduler.plan import RowSetup


class RequestGrammars:
    """Prepared grammars by the ids of their requests.

    Without a ``service`` requests for grammars are refused, and ``why_none`` says why. ``jumps``:
    tokens that a grammar leaves no choice about are not decoded.
    """

    def __init__(
        self, service: GrammarService | None, *, jumps: bool = True, why_none: str = ""
    ) -> None:
        self._service = service
        self._jumps = jumps
        self._why_none = why_none
        self._open: dict[str, PreparedGrammar] = {}

    def __len__(self) -> int:
        return len(self._open)

    def prepare(self, spec: GrammarSpec, done: Done) -> None:
        """Call ``done`` with the grammar or why there is none, in any thread, perhaps at once."""
        if self._service is None:
            done(RequestError(self._why_none, param=spec.kind))
        else:
            self._service.prepare(spec, done)

    def admit(self, request: Request, outcome: Outcome) -> Request | SgliteError:
        """Keep the grammar of a request, which may enter as it is returned; or why it may not."""
        if isinstance(outcome, SgliteError):
            return outcome
        is_thinking = request.thinking is not None and request.thinking.is_open
        num_needed = len(outcome.shortest_end) + is_thinking
        if request.max_new_tokens < num_needed:
            grammar = request.sampling.grammar
            kind = grammar.kind if grammar is not None else "its grammar"
            thoughts = ", with the one that ends its thoughts" if is_thinking else ""
            return RequestError(
                f"max_new_tokens is {request.max_new_tokens:,}; the shortest answer that fits "
                f"{kind} takes {num_needed:,} tokens{thoughts}",
                param="max_new_tokens",
            )
        self._open[request.request_id] = outcome
        ignored = tuple(outcome.compiled.ignored_keywords)
        return dataclasses.replace(request, ignored_schema_keywords=ignored)

    def forget(self, request_id: str) -> None:
        """A request has ended, or did not enter; nothing where it has no grammar."""
        self._open.pop(request_id, None)

    def close(self) -> None:
        """End the service."""
        self._open.clear()
        if self._service is not None:
            self._service.close()

    def make_constraint(self, setup: RowSetup) -> Constraint | None:
        """What holds a request that takes a row to its grammar and to the length of its thoughts.

        It stands before the first token: the output that ``setup`` has is still to be replayed.
        None where the request is free.
        """
        from sglite.grammar.constraint import Constraint

        prepared = self._open.get(setup.request_id)
        max_thinking_tokens = setup.sampling.max_thinking_tokens
        if prepared is None and (setup.thinking is None or max_thinking_tokens is None):
            return None
        return Constraint(
            None if prepared is None else prepared.compiled.start(),
            ends=None if prepared is None else prepared.ends,
            shortest_end=() if prepared is None else prepared.shortest_end,
            max_new_tokens=setup.max_new_tokens,
            end_token_ids=frozenset(setup.stop_token_ids),
            thinking=setup.thinking,
            max_thinking_tokens=max_thinking_tokens,
            jumps=self._jumps,
        )
