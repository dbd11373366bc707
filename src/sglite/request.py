"""The nouns of sglite: what a caller asks for and what comes back.

Plain data over integers and strings. Knows nothing of tensors, text or time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, NamedTuple


class FinishReason(Enum):
    """Why a request ended; the value is the word on the wire."""

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"
    ERROR = "error"


GrammarKind = Literal["json_schema", "regex", "ebnf", "choice", "structural_tag"]


class GrammarSpec(NamedTuple):
    """What an answer must look like; equal specs share what was compiled for them.

    ``text`` is a JSON schema, a regular expression, a grammar in SGLang's EBNF, a JSON list of
    strings, or a structural tag as JSON. ``ignores_keywords``: parts of a schema that cannot be
    enforced are left out rather than refused.
    """

    kind: GrammarKind
    text: str
    ignores_keywords: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How the next token is chosen and when to stop (SGLang's names and semantics).

    ``max_new_tokens`` None means up to the context. ``temperature`` below 1e-6 is greedy.
    ``top_k`` -1 means all. The penalties count output tokens only, as SGLang does.
    ``ignore_eos`` ignores ``stop_token_ids`` too; stop strings still work. At most one of
    ``json_schema``, ``regex``, ``ebnf``, ``choice`` and ``structural_tag`` says what the answer
    must look like. ``max_thinking_tokens`` ends the model's thoughts.
    """

    max_new_tokens: int | None = 128
    min_new_tokens: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: dict[int, float] | None = None
    sampling_seed: int | None = None
    n: int = 1
    stop: tuple[str, ...] = ()
    stop_regex: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    no_stop_trim: bool = False
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    stream_interval: int | None = None
    json_schema: str | None = None
    regex: str | None = None
    ebnf: str | None = None
    choice: tuple[str, ...] = ()
    structural_tag: str | None = None
    allow_ignored_schema_keywords: bool = False
    max_thinking_tokens: int | None = None

    @property
    def is_greedy(self) -> bool:
        """True where the most likely token is always taken."""
        return self.temperature < 1e-6 or self.top_k == 1

    @property
    def has_penalties(self) -> bool:
        """True where output tokens must be counted."""
        additive = self.presence_penalty != 0.0 or self.frequency_penalty != 0.0
        return additive or self.repetition_penalty != 1.0

    @property
    def grammar(self) -> GrammarSpec | None:
        """What the answer must look like, None where it is free."""
        if self.json_schema is not None:
            return GrammarSpec("json_schema", self.json_schema, self.allow_ignored_schema_keywords)
        if self.regex is not None:
            return GrammarSpec("regex", self.regex)
        if self.ebnf is not None:
            return GrammarSpec("ebnf", self.ebnf)
        if self.choice:
            return GrammarSpec("choice", json.dumps(self.choice, ensure_ascii=False))
        if self.structural_tag is not None:
            ignores = self.allow_ignored_schema_keywords
            return GrammarSpec("structural_tag", self.structural_tag, ignores)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogprobParams:
    """Which log-probabilities to return.

    ``start_len`` is the first prompt position to report, None for output tokens only.
    ``top_num`` adds the most likely tokens of each position, ``token_ids`` adds chosen ones.
    """

    start_len: int | None = None
    top_num: int = 0
    token_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """How a model's thoughts are told from its answer, by single tokens.

    ``is_open``: the prompt ends inside of them. Otherwise they begin with ``start_token_id``, if
    that is the first token of the output. A grammar holds for what follows ``end_token_id``.
    """

    start_token_id: int | None
    end_token_id: int
    is_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One sequence to generate: the unit of scheduling. ``n > 1`` becomes n of them at the border.

    ``seed`` is settled at the border, so that the same request gives the same tokens.
    ``key_ids`` are what the prefix cache matches; None means that they equal the prompt's ids.
    ``namespace`` separates caches (salt, adapter, weights epoch). ``group_id`` joins the samples
    of one prompt. ``is_streamed``: somebody reads the tokens as they come; steps are kept short for
    them. ``ignored_schema_keywords`` are told with its end. ``session`` is the caller's name for a
    series of requests; routers know it. Times are seconds on the engine's clock.
    """

    request_id: str
    prompt_token_ids: SequenceOf[int]
    sampling: SamplingParams = field(default_factory=SamplingParams)
    logprobs: LogprobParams | None = None
    seed: int = 0
    eos_token_ids: frozenset[int] = frozenset()
    max_new_tokens: int = 128
    key_ids: SequenceOf[int] | None = None
    namespace: str = ""
    group_id: str | None = None
    priority: int = 0
    deadline_s: float | None = None
    pin_prefix: bool = False
    is_streamed: bool = False
    thinking: Thinking | None = None
    ignored_schema_keywords: tuple[str, ...] = ()
    session: str | None = None


class TokenLogprobs(NamedTuple):
    """Log-probabilities (natural log) at one position.

    ``top`` is ``((token_id, logprob), ...)``, highest first; ``chosen`` follows the ids asked for.
    """

    token_id: int
    logprob: float | None
    top: tuple[tuple[int, float], ...] = ()
    chosen: tuple[tuple[int, float], ...] = ()


@dataclass(slots=True, kw_only=True)
class RequestTimings:
    """Seconds on the engine's clock; None until it happened."""

    arrival_s: float
    admitted_s: float | None = None
    first_token_s: float | None = None
    finished_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFinish:
    """The one terminal event of a request.

    ``matched`` is the token id or stop string that ended it. ``message`` explains ABORT and ERROR.
    ``num_jumped_tokens`` of the output were not decoded one by one: a grammar left no other.
    """

    request_id: str
    reason: FinishReason
    matched: int | str | None = None
    message: str | None = None
    num_prompt_tokens: int
    num_output_tokens: int
    num_cached_tokens: int
    num_retractions: int
    max_new_tokens: int
    timings: RequestTimings
    num_jumped_tokens: int = 0
    ignored_schema_keywords: tuple[str, ...] = ()


@dataclass(slots=True)
class OutputBatch:
    """What one turn of the loop tells the callers, in columns: cheap to build and to send.

    ``tokens`` holds ``(request_id, token_id)`` in order; ``logprobs`` is keyed by the index into
    it. ``prompt_logprobs`` come in pieces, in order. ``started`` holds ``(request_id,
    num_cached_tokens)``. Every request is named in ``finished`` exactly once in its life.
    """

    started: list[tuple[str, int]] = field(default_factory=list)
    tokens: list[tuple[str, int]] = field(default_factory=list)
    logprobs: dict[int, TokenLogprobs] = field(default_factory=dict)
    prompt_logprobs: list[tuple[str, list[TokenLogprobs]]] = field(default_factory=list)
    finished: list[RequestFinish] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.tokens or self.finished or self.started or self.prompt_logprobs)

    def extend(self, later: OutputBatch) -> None:
        """Append what came ``later``."""
        num_tokens = len(self.tokens)
        self.started += later.started
        self.tokens += later.tokens
        for index, logprobs in later.logprobs.items():
            self.logprobs[num_tokens + index] = logprobs
        self.prompt_logprobs += later.prompt_logprobs
        self.finished += later.finished
