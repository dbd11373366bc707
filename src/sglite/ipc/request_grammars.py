"""Grammars of an engine's requests: prepared before they enter, kept until they end.

    prepare ──▶ the service ──▶ admit ──▶ make_constraint, for each row that they take ──▶ forget

Belongs to the engine's thread, in which its client and its output processor live; ``done`` alone is
called in others.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sglite.errors import ConfigError, RequestError, SgliteError
from sglite.grammar.closing import EndFinder
from sglite.grammar.constraint import Constraint
from sglite.grammar.vocabulary import read_vocabulary
from sglite.ipc.grammar_messages import GrammarSetup
from sglite.ipc.grammar_service import Done, GrammarService, Outcome, PreparedGrammar
from sglite.ipc.grammar_tools import GrammarTools
from sglite.request import GrammarSpec, Request
from sglite.scheduler.plan import RowSetup

if TYPE_CHECKING:
    from sglite.config import EngineConfig
    from sglite.tokenizer import Tokenizer


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
        prepared = self._open.get(setup.request_id)
        max_thinking_tokens = setup.sampling.max_thinking_tokens
        if prepared is None and (setup.thinking is None or max_thinking_tokens is None):
            return None
        return Constraint(
            None if prepared is None else prepared.compiled.start(),
            ends=_no_ends() if prepared is None else prepared.ends,
            shortest_end=() if prepared is None else prepared.shortest_end,
            max_new_tokens=setup.max_new_tokens,
            end_token_ids=_end_token_ids(setup, prepared),
            thinking=setup.thinking,
            max_thinking_tokens=max_thinking_tokens,
            jumps=self._jumps,
        )


def make_request_grammars(
    config: EngineConfig,
    tokenizer: Tokenizer | None,
    *,
    vocab_size: int,
    text_tokens: Iterable[str] = (),
) -> RequestGrammars:
    """Grammars as the options want them, for a model whose logits are ``vocab_size`` wide.

    ``text_tokens`` are special tokens that a grammar may ask for, such as the markers of tool
    calls. Starts nothing yet. Raises ConfigError where the library is not installed.
    """
    backend = config.grammar_backend
    if backend == "none":
        return RequestGrammars(None, why_none="grammars are off here (--grammar-backend none)")
    if importlib.util.find_spec(backend) is None:
        raise ConfigError(
            f"--grammar-backend {backend} needs a library that is not installed; "
            f'pip install "sglite[{backend}]"'
        )
    if tokenizer is None:
        why = "grammars need the tokenizer, without which this engine runs (--skip-tokenizer-init)"
        return RequestGrammars(None, why_none=why)

    def make_setup() -> GrammarSetup:
        vocabulary = read_vocabulary(tokenizer, vocab_size, text_tokens=text_tokens)
        return GrammarSetup(backend, config.grammar_whitespace, vocabulary)

    service = GrammarService(GrammarTools(make_setup))
    return RequestGrammars(service, jumps=not config.disable_jump_forward)


def _end_token_ids(setup: RowSetup, prepared: PreparedGrammar | None) -> frozenset[int]:
    """What ends the answer and is no part of its text.

    A caller's stop that is text stays text for the grammar, and the scheduler stops behind it. Ids
    that the model has no logits for are in no mask.
    """
    if prepared is None:
        return frozenset(setup.stop_token_ids)
    pieces, chosen = prepared.ends.pieces, setup.sampling.stop_token_ids
    known = (i for i in setup.stop_token_ids if i < len(pieces))
    return frozenset(i for i in known if i not in chosen or not pieces[i])


@functools.cache
def _no_ends() -> EndFinder:
    """For a request without a grammar, whose answer may end anywhere."""
    return EndFinder(())
