"""Carries out plans with a torch model: the synchronous executor for CPU and MPS.

With several ranks each computes its share of every step, head and all; one draws, and the others
get its tokens.

Shape legend: T tokens packed, R sampled runs, E hidden, V vocab. See docs/shapes.md.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from dataclasses import dataclass, field

import torch

from sglite.executors.forward_batch import ForwardBatch, HostBatch
from sglite.executors.row_state import RowState
from sglite.executors.step_agreement import StepAgreement
from sglite.kvcache.kv_pool import KVPool
from sglite.models.language_model import LanguageModel
from sglite.sampling import (
    PromptScores,
    SampleOutput,
    Sampler,
    SampleResult,
    SamplingState,
    TokenMasks,
    logits_chunk_rows,
    prompt_logprobs,
)
from sglite.scheduler.plan import PromptLogprobSpan, StepPlan, StepResult


@dataclass(slots=True)
class StepHandle:
    """A launched step: its plan, its hidden states ``[T, E]``, and then what was sampled."""

    plan: StepPlan
    hidden_TE: torch.Tensor
    offsets: list[int]
    started_s: float
    output: SampleOutput | SampleResult | None = None
    prompt_logprobs: list[PromptScores] = field(default_factory=list)
    invalid_runs: frozenset[int] = frozenset()
    elapsed_s: float = 0.0


class TorchExecutor:
    """One model, one KV pool, one row of state per running request.

    ``agreement`` joins the steps of several ranks. Only the rank that draws keeps what sampling
    needs; results of the others are empty.
    """

    def __init__(
        self,
        model: LanguageModel,
        kv_pool: KVPool,
        *,
        max_rows: int,
        max_tokens: int,
        check: bool = False,
        agreement: StepAgreement | None = None,
    ) -> None:
        spec = model.spec
        device = kv_pool.storage[0].device
        self._model = model
        self._kv_pool = kv_pool
        self._check = check
        self._rows = RowState(
            kv_pool.groups,
            spec.group_of_layer(),
            max_rows=max_rows,
            max_pages=-(-max_tokens // kv_pool.page_size) + 1,
            page_size=kv_pool.page_size,
            device=device,
        )
        self._agreement = agreement
        self._is_drawing = agreement is None or agreement.is_drawing
        self._sampling = SamplingState(max_rows if self._is_drawing else 0, spec.vocab_size, device)
        self._sampler = Sampler(self._sampling)

    @torch.inference_mode()
    def launch(self, plan: StepPlan) -> StepHandle:
        """Run the forward pass of ``plan``."""
        started_s = time.perf_counter()
        if self._is_drawing:
            self._sampling.apply(plan)
        self._rows.apply(plan)
        hidden_TE, offsets = self._forward(plan)
        return StepHandle(plan, hidden_TE, offsets, started_s)

    def _forward(self, plan: StepPlan) -> tuple[torch.Tensor, list[int]]:
        """Hidden states ``[T, E]``, and where each run begins among the packed tokens."""
        batch = self._make_batch(plan)
        if self._check:
            batch.check(vocab_size=self._model.spec.vocab_size)
        if self._agreement is not None:
            self._agreement.begin(plan, batch)
        return self._compute(plan, batch), batch.offsets()

    def _make_batch(self, plan: StepPlan) -> ForwardBatch | HostBatch:
        """What the model is given."""
        return self._rows.make_batch(plan)

    def _compute(self, plan: StepPlan, batch: ForwardBatch | HostBatch) -> torch.Tensor:
        """The model's hidden states ``[T, E]``."""
        return self._model(batch, self._kv_pool)

    @torch.inference_mode()
    def sample(self, handle: StepHandle, masks: TokenMasks | None = None) -> None:
        """Sample, and score prompt positions. The head runs over the rows that need it alone."""
        plan = handle.plan
        if plan.sample_runs:
            handle.output = self._sample_rows(handle, masks)
        if self._agreement is not None:
            self._share(plan, self._agreement, handle.output)
        handle.invalid_runs = _find_invalid_chunks(handle)
        for span in plan.prompt_logprob_spans:
            self._score_prompt(handle, span)
        handle.elapsed_s = time.perf_counter() - handle.started_s

    def _sample_rows(
        self, handle: StepHandle, masks: TokenMasks | None
    ) -> SampleOutput | SampleResult | None:
        """Next tokens, which the rows remember; None where another rank draws."""
        plan = handle.plan
        rows = [plan.run_rows[run] for run in plan.sample_runs]
        last = [handle.offsets[run + 1] - 1 for run in plan.sample_runs]
        logits_RV = self._model.compute_logits(handle.hidden_TE[last])
        if not self._is_drawing:
            return None
        ends = [plan.run_starts[run] + plan.run_lengths[run] for run in plan.sample_runs]
        positions_R = torch.tensor(ends, dtype=torch.int64, device=logits_RV.device)
        output = self._sampler.sample(logits_RV, rows, positions_R, masks)
        self._rows.last_token_W[rows] = output.token_ids_R
        return output

    def _share(
        self,
        plan: StepPlan,
        agreement: StepAgreement,
        output: SampleOutput | SampleResult | None,
    ) -> None:
        """The rows of every rank remember what was drawn. RankLostError where one disagrees."""
        assert output is None or isinstance(output, SampleOutput), "ranks sample on torch"
        token_ids_R = agreement.share(plan, None if output is None else output.token_ids_R)
        rows = [plan.run_rows[run] for run in plan.sample_runs]
        self._rows.last_token_W[rows] = token_ids_R

    def collect(self, handle: StepHandle) -> StepResult:
        """What the step produced, as host lists."""
        result = StepResult([], invalid_runs=handle.invalid_runs, elapsed_s=handle.elapsed_s)
        sampled = handle.output
        if sampled is not None:
            sampled = sampled if isinstance(sampled, SampleResult) else sampled.to_result()
            result.token_ids = sampled.token_ids
            result.invalid = sampled.invalid
            result.logprobs = sampled.logprobs
        result.prompt_logprobs = [scores.read() for scores in handle.prompt_logprobs]
        return result

    def close(self) -> None:
        """Nothing to stop; memory goes with the object."""

    def _score_prompt(self, handle: StepHandle, span: PromptLogprobSpan) -> None:
        """Score the targets of ``span``; where another rank does, compute our share of it."""
        plan = handle.plan
        first = handle.offsets[span.run] + span.start - 1 - plan.run_starts[span.run]
        hidden_TE = handle.hidden_TE[first : first + len(span.targets)]
        chunk_rows = logits_chunk_rows(self._model.spec.vocab_size)
        if not self._is_drawing:
            for begin in range(0, len(span.targets), chunk_rows):
                self._model.compute_logits(hidden_TE[begin : begin + chunk_rows])
            return
        setup = self._sampling.setups[plan.run_rows[span.run]]
        assert setup is not None and setup.logprobs is not None
        handle.prompt_logprobs.append(
            prompt_logprobs(
                hidden_TE,
                self._model.compute_logits,
                span.targets,
                setup.logprobs,
                chunk_rows=chunk_rows,
            )
        )


def _find_invalid_chunks(handle: StepHandle) -> frozenset[int]:
    """Runs of prompt tokens with a NaN or infinity among their hidden states.

    Their pages enter the prefix cache before anything is sampled from them; a decode's do not, and
    its logits tell.
    """
    first = handle.plan.run_continues.count(True)
    if first == len(handle.plan.run_rows):
        return frozenset()
    offsets = handle.offsets[first:]
    is_bad_T = ~handle.hidden_TE[offsets[0] :].isfinite().all(dim=-1)
    if not is_bad_T.any():
        return frozenset()
    bad_tokens = (is_bad_T.nonzero()[:, 0] + offsets[0]).tolist()
    return frozenset(first + bisect_right(offsets, token) - 1 for token in bad_tokens)
