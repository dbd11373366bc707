"""Carries out one stage of a pipeline: hidden states come in, pass through our layers and go on.

    stage 0     launch: embed, layers ──▶ hidden states, digest
                                              │
    stage 1                                   └──▶ launch: layers ─ sample: head, draw ──▶ result

What goes on is handed over without a wait for the stage behind, so a stage is at work on the next
step while this one is still on its way; it is ahead by one step at most. All stages carry out the
same plans in the same order. With each step's hidden states comes the digest of what the stage
before has computed with (see ``step_agreement``): stages that disagree are found before the step is
drawn.

Shape legend: T tokens packed, E hidden. See docs/shapes.md.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from sglite.errors import RankLostError
from sglite.executors.forward_batch import ForwardBatch, HostBatch
from sglite.executors.replay_executor import ReplayExecutor
from sglite.executors.step_agreement import StepAgreement
from sglite.executors.torch_executor import StepHandle, TorchExecutor
from sglite.kvcache.kv_pool import KVPool
from sglite.models.language_model import LanguageModel
from sglite.models.layers.parallel import RankGroup
from sglite.sampling import TokenMasks
from sglite.scheduler.plan import StepPlan

DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class StageLinks:
    """Our neighbours in ``group``, all ranks of the engine: those of the stages before and behind
    that have our place in theirs; None at the ends. ``num_stages`` of the whole pipeline.
    """

    group: RankGroup
    previous: int | None
    following: int | None
    num_stages: int


class StageExecutor(TorchExecutor):
    """A share of the layers; the last stage draws, the results of the others are empty.

    ``agreement`` is with the ranks of our stage.
    """

    def __init__(
        self,
        model: LanguageModel,
        kv_pool: KVPool,
        links: StageLinks,
        agreement: StepAgreement,
        *,
        max_rows: int,
        max_tokens: int,
        check: bool = False,
    ) -> None:
        super().__init__(
            model,
            kv_pool,
            max_rows=max_rows,
            max_tokens=max_tokens,
            check=check,
            agreement=agreement,
        )
        self._links = links
        self._stage_agreement = agreement
        self._waited_s = 0.0

    @torch.inference_mode()
    def launch(self, plan: StepPlan) -> StepHandle:
        """Wait for the stage before, and compute. RankLostError where it is lost or disagrees."""
        assert not any(plan.run_continues), "a stage knows no token that is not in the plan"
        self._waited_s = 0.0
        handle = super().launch(plan)
        handle.started_s += self._waited_s
        return handle

    def _compute(self, plan: StepPlan, batch: ForwardBatch | HostBatch) -> torch.Tensor:
        hidden_TE = self._model(batch, self._kv_pool, self._receive(plan))
        self._send(hidden_TE)
        return hidden_TE

    @torch.inference_mode()
    def sample(self, handle: StepHandle, masks: TokenMasks | None = None) -> None:
        """On the last stage as its base; the others only make sure that they agree.

        The time of a step, from which the scheduler learns how much to put into one, is what a
        sequence waits between two tokens: as many steps as there are stages.
        """
        if self._links.following is not None:
            self._share(handle.plan, self._stage_agreement, None)
            return
        super().sample(handle, masks)
        handle.elapsed_s *= self._links.num_stages

    def _receive(self, plan: StepPlan) -> torch.Tensor | None:
        """The hidden states ``[T, E]`` of the stage before; None on the first."""
        previous, spec, dtype = self._links.previous, self._model.spec, self._model.stream_dtype
        if previous is None:
            return None
        began_s = time.perf_counter()
        shape = (sum(plan.run_lengths), spec.hidden_size)
        size = shape[0] * shape[1] * dtype.itemsize
        words = torch.empty(DIGEST_BYTES + size, dtype=torch.uint8)
        self._links.group.receive(words, previous)
        self._waited_s = time.perf_counter() - began_s
        digest = words[:DIGEST_BYTES].view(torch.int64)
        if int(digest) != self._stage_agreement.digest:
            raise RankLostError(
                f"ranks {previous} and {self._links.group.rank} disagree in step {plan.step_id}: "
                "they read other tokens, or wrote to other pages"
            )
        return words[DIGEST_BYTES:].view(dtype).view(shape)

    def _send(self, hidden_TE: torch.Tensor) -> None:
        """Hand the hidden states to the stage behind us, if there is one."""
        if self._links.following is not None:
            digest = torch.tensor([self._stage_agreement.digest], dtype=torch.int64)
            words = torch.cat([digest.view(torch.uint8), hidden_TE.view(torch.uint8).flatten()])
            self._links.group.send(words, self._links.following)


class ReplayStageExecutor(StageExecutor, ReplayExecutor):
    """The same of a model on the compiled CPU kernels."""
