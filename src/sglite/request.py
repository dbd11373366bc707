"""The nouns of sglite: what a caller asks for and what comes back.

Plain data over integers and strings. Knows nothing of tensors, text or time.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class FinishReason(Enum):
    """Why a request ended; the value is the word on the wire."""

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How the next token is chosen and when to stop (SGLang's names and semantics).

    ``max_new_tokens`` None means up to the context. ``temperature`` below 1e-6 is greedy.
    ``top_k`` -1 means all. The penalties count output tokens only, as SGLang does.
    ``ignore_eos`` ignores ``stop_token_ids`` too; stop strings still work.
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

    @property
    def is_greedy(self) -> bool:
        """True where the most likely token is always taken."""
        return self.temperature < 1e-6 or self.top_k == 1


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
class Request:
    """One sequence to generate: the unit of scheduling. ``n > 1`` becomes n of them at the border.

    ``seed`` is settled at the border, so that the same request gives the same tokens.
    ``key_ids`` are what the prefix cache matches; None means that they equal the prompt's ids.
    ``namespace`` separates caches (salt, adapter, weights epoch). ``group_id`` joins the samples
    of one prompt. ``is_streamed``: somebody reads the tokens as they come; steps are kept short for
    them. Times are seconds on the engine's clock.
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
