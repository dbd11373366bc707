"""The contract between deciding and doing: what one step is to compute, and what came of it.

A plan is a delta against the state that an executor keeps, one row per running request, so it
stays small enough to broadcast to other ranks. Plain integers; no tensors.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sglite.request import FinishReason, LogprobParams, SamplingParams, Thinking, TokenLogprobs


@dataclass(frozen=True, slots=True)
class RowSetup:
    """A request takes a row, or what is known of it there is not what was sampled.

    ``page_ids[group]`` are its pages so far, tombstones as 0. ``output_token_ids`` is not empty for
    a request that comes back after a retraction, or whose sampled token did not stand: penalties
    count them, a grammar has them behind it. ``max_new_tokens`` is the output's limit with them.
    """

    row: int
    request_id: str
    sampling: SamplingParams
    logprobs: LogprobParams | None
    seed: int
    stop_token_ids: tuple[int, ...]
    num_prompt_tokens: int
    page_ids: tuple[list[int], ...]
    output_token_ids: list[int]
    max_new_tokens: int = 0
    thinking: Thinking | None = None


@dataclass(slots=True)
class PageUpdates:
    """New entries of a KV group's page table: ``page_table[rows[i], indices[i]] = page_ids[i]``."""

    rows: list[int] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    page_ids: list[int] = field(default_factory=list)

    def add(self, row: int, index: int, page_id: int) -> None:
        """Append one entry."""
        self.rows.append(row)
        self.indices.append(index)
        self.page_ids.append(page_id)


@dataclass(frozen=True, slots=True)
class PromptLogprobSpan:
    """Run ``run`` reports prompt log-probabilities of the positions ``[start, end)``.

    Position p is scored by the logits at p - 1, which lie in this run. ``targets`` are the tokens
    at those positions.
    """

    run: int
    start: int
    end: int
    targets: list[int]


@dataclass(slots=True)
class StepPlan:
    """One step: a ragged list of runs of new tokens, at most one per row.

    Run i computes ``run_lengths[i]`` tokens of row ``run_rows[i]`` from position
    ``run_starts[i]`` on. Its tokens are the next ``run_lengths[i]`` of ``token_ids``, unless
    ``run_continues[i]``: then it is the single token that the executor sampled last for that row,
    which never had to leave the device. (No plan of a pipeline has such runs: its first stage does
    not sample.) ``sample_runs`` lists the runs whose last position is sampled; the results come in
    that order. ``masked_runs`` are those of them (runs, not their places in ``sample_runs``) that
    are expected to get a mask of legal tokens, so that nothing is drawn for them before it is
    there: a hint, as the masks that come with ``sample`` decide. ``renewed_rows`` are rows whose
    output is not what was sampled: the counts of their penalties are made anew. Order of
    application: ``cleared_rows``, ``added_rows``, ``renewed_rows``, ``page_updates``, then the
    runs.
    """

    step_id: int
    num_groups: int
    cleared_rows: list[int] = field(default_factory=list)
    added_rows: list[RowSetup] = field(default_factory=list)
    renewed_rows: list[RowSetup] = field(default_factory=list)
    page_updates: list[PageUpdates] = field(default_factory=list)
    run_rows: list[int] = field(default_factory=list)
    run_starts: list[int] = field(default_factory=list)
    run_lengths: list[int] = field(default_factory=list)
    run_continues: list[bool] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    sample_runs: list[int] = field(default_factory=list)
    masked_runs: list[int] = field(default_factory=list)
    prompt_logprob_spans: list[PromptLogprobSpan] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.page_updates:
            self.page_updates = [PageUpdates() for _ in range(self.num_groups)]

    @property
    def is_empty(self) -> bool:
        """True where there is nothing to compute."""
        return not self.run_rows


@dataclass(frozen=True, slots=True)
class StopMatch:
    """The verdict of the output processor: the answer ends with this token.

    ``matched`` is the stop string or regex that it completed; None where a grammar allows nothing
    more. ``is_cut``: the grammar was led to its shortest end, since the length was used up.
    """

    matched: str | None
    is_cut: bool = False

    @property
    def is_final(self) -> bool:
        """False where the token may itself be one that ends answers, and is told as that."""
        return self.matched is not None or self.is_cut

    @property
    def reason(self) -> FinishReason:
        """The reason that it is for the request's end."""
        return FinishReason.LENGTH if self.is_cut else FinishReason.STOP


@dataclass(slots=True)
class StepResult:
    """What a step produced, one entry per element of ``StepPlan.sample_runs``.

    ``invalid`` names the entries whose logits held a NaN or had no legal token, ``invalid_runs``
    the runs of the plan whose hidden states held one: their KV must not be shared.
    ``prompt_logprobs`` follows ``StepPlan.prompt_logprob_spans``. ``elapsed_s`` feeds the cost
    model. The output processor fills what is keyed by entry: ``stops``, and in ``accepted`` the
    tokens that stand where they are not the sampled one alone: a grammar had only one way on, or
    the sampled one led where too few tokens are left to end. None stand only where it ended before.
    """

    token_ids: list[int]
    invalid: frozenset[int] = frozenset()
    invalid_runs: frozenset[int] = frozenset()
    logprobs: dict[int, TokenLogprobs] = field(default_factory=dict)
    prompt_logprobs: list[list[TokenLogprobs]] = field(default_factory=list)
    stops: dict[int, StopMatch] = field(default_factory=dict)
    accepted: dict[int, list[int]] = field(default_factory=dict)
    elapsed_s: float = 0.0
