"""One vectorised sampler over the rows of a step.

Order: NaN guard, penalties, bias, minimum length, repetition, mask (``adjust``), temperature,
softmax, top-k, top-p, min-p (``ranking``), draw (``noise``).

Shape legend: R rows, V vocab, K candidate tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from sglite.kernels.draw.noise import exponential_noise, row_keys
from sglite.kernels.draw.ranking import rows_per_chunk, surviving_tokens
from sglite.request import TokenLogprobs
from sglite.sampling.adjust import adjust_logits
from sglite.sampling.batch import RowSelection, SamplingBatch
from sglite.sampling.logprobs import LogprobTensors, score_positions
from sglite.sampling.masks import RowMasks, TokenMasks
from sglite.sampling.state import SamplingState


@dataclass(slots=True)
class SampleResult:
    """A sampled step on the host; the fields of StepResult of the same names.

    ``invalid`` and ``logprobs`` are keyed by the index into the rows given to ``sample``.
    """

    token_ids: list[int]
    invalid: frozenset[int] = frozenset()
    logprobs: dict[int, TokenLogprobs] = field(default_factory=dict)


@dataclass(slots=True)
class SampleOutput:
    """A sampled step on the device.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | token_ids_R | [R] | int64 | the next token of each row, 0 where invalid |
    | invalid_R | [R] | bool | NaN or infinite logits, or no legal token: the request must end |
    | scored | | list | indices of the rows that ``logprobs`` holds |
    | logprobs | | LogprobTensors or None | None where no row asked |
    """

    token_ids_R: torch.Tensor
    invalid_R: torch.Tensor
    scored: list[int]
    logprobs: LogprobTensors | None

    def pack(self) -> torch.Tensor:
        """Everything that the host needs as one flat int64 tensor, for one copy."""
        pieces = [self.token_ids_R, self.invalid_R.to(torch.int64)]
        if self.logprobs is not None:
            pieces += self.logprobs.pack()
        return torch.cat(pieces)

    def unpack(self, packed: torch.Tensor) -> SampleResult:
        """Read what :meth:`pack` wrote, from its copy on the host."""
        num_rows = self.token_ids_R.shape[0]
        token_ids = packed[:num_rows].tolist()
        flags = packed[num_rows : 2 * num_rows].tolist()
        result = SampleResult(token_ids, frozenset(i for i, flag in enumerate(flags) if flag))
        if self.logprobs is not None:
            targets = [token_ids[i] for i in self.scored]
            scores = self.logprobs.unpack(targets, packed[2 * num_rows :])
            pairs = zip(self.scored, scores, strict=True)
            result.logprobs = {i: score for i, score in pairs if i not in result.invalid}
        return result

    def to_result(self) -> SampleResult:
        """Host lists, with one transfer; waits for the device."""
        return self.unpack(self.pack().cpu())


class Sampler:
    """Draws the next token of each row from its logits and the parameters in ``state``."""

    def __init__(self, state: SamplingState) -> None:
        self.state = state

    def sample(
        self,
        logits_RV: torch.Tensor,
        rows: list[int] | torch.Tensor,
        positions_R: torch.Tensor,
        masks: TokenMasks | None = None,
    ) -> SampleOutput:
        """Sample one token per row.

        ``rows`` are engine rows, best as a list (a tensor on a device has to be read). The entries
        of ``masks`` are indices into them. The rest is as in :meth:`sample_batch`.
        """
        rows = rows if isinstance(rows, list) else rows.tolist()
        row_masks = None if masks is None else RowMasks(masks, len(rows), logits_RV.device)
        return self.sample_batch(logits_RV, self.state.batch(rows), positions_R, row_masks)

    @torch.inference_mode()
    def sample_batch(
        self,
        logits_RV: torch.Tensor,
        batch: SamplingBatch,
        positions_R: torch.Tensor,
        masks: RowMasks | None = None,
    ) -> SampleOutput:
        """Sample one token for each row of ``batch``; nothing of the host's state is read.

        ``logits_RV`` is scratch: fp32 logits are overwritten. No row stands in it twice where it
        has penalties. ``positions_R`` (int64) counts the tokens before the new one. Rows without a
        mask may take any token. The output tokens of rows with penalties are counted here, so a
        step is sampled once.
        """
        state = self.state
        assert logits_RV.shape == (len(batch.rows), state.vocab_size), logits_RV.shape
        logits_RV = logits_RV.float()
        if batch.greedy.is_all and masks is None and not batch.adjusts_logits:
            token_ids_R, invalid_R = _most_likely(logits_RV)
        else:
            token_ids_R, invalid_R = self._sample_mixed(logits_RV, batch, positions_R, masks)
        if len(batch.penalized):
            index = batch.penalized.tensor
            state.counts.add(batch.slots, token_ids_R[index], ~invalid_R[index])
        logprobs = _score_sampled(logits_RV, batch, token_ids_R)
        return SampleOutput(token_ids_R, invalid_R, batch.scored.indices, logprobs)

    def _sample_mixed(
        self,
        logits_RV: torch.Tensor,
        batch: SamplingBatch,
        positions_R: torch.Tensor,
        masks: RowMasks | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and invalid flags where rows differ or their logits are adjusted."""
        invalid_R = ~logits_RV.amax(-1).isfinite()
        if batch.adjusts_logits or masks is not None:
            adjust_logits(logits_RV, batch, self.state.counts, positions_R, masks=masks)
            invalid_R |= ~logits_RV.amax(-1).isfinite()
        token_ids_R = torch.zeros_like(positions_R)
        for index in self._chunks(batch.greedy):
            token_ids_R[index] = logits_RV[index].argmax(-1)
        keys_R2 = row_keys(batch.seed_R, positions_R)
        self._draw_plain(logits_RV, batch, keys_R2, token_ids_R)
        self._draw_filtered(logits_RV, batch, keys_R2, token_ids_R)
        return token_ids_R.masked_fill_(invalid_R, 0), invalid_R

    def _chunks(self, selection: RowSelection) -> Iterator[slice | torch.Tensor]:
        """Indices into the step's rows, few enough at once for bounded temporaries."""
        step = rows_per_chunk(self.state.vocab_size, self.state.device)
        return (index for index, _ in selection.chunks(step))

    def _draw_plain(
        self,
        logits_RV: torch.Tensor,
        batch: SamplingBatch,
        keys_R2: torch.Tensor,
        token_ids_R: torch.Tensor,
    ) -> None:
        """Rows without filters: a race of all tokens."""
        for index in self._chunks(batch.plain):
            weights = _probabilities(logits_RV[index], batch.temperature_R[index])
            weights /= exponential_noise(keys_R2[index], self.state.token_ids_V)
            token_ids_R[index] = weights.argmax(-1)

    def _draw_filtered(
        self,
        logits_RV: torch.Tensor,
        batch: SamplingBatch,
        keys_R2: torch.Tensor,
        token_ids_R: torch.Tensor,
    ) -> None:
        """Rows with filters: a race of the tokens that survive."""
        for index in self._chunks(batch.filtered):
            probs = _probabilities(logits_RV[index], batch.temperature_R[index])
            weights, ids = surviving_tokens(
                probs,
                batch.top_k_R[index],
                batch.top_p_R[index],
                batch.min_p_R[index],
                max_top_k=batch.max_top_k,
            )
            weights /= exponential_noise(keys_R2[index], ids.to(torch.int32))
            token_ids_R[index] = ids.gather(-1, weights.argmax(-1, keepdim=True))[:, 0]


def _most_likely(logits_RV: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Argmax and invalid flags in one pass; argmax finds a NaN before any number."""
    token_ids_R = logits_RV.argmax(-1)
    invalid_R = ~logits_RV.gather(-1, token_ids_R[:, None])[:, 0].isfinite()
    return token_ids_R.masked_fill_(invalid_R, 0), invalid_R


def _tempered(logits_RV: torch.Tensor, temperature_R: torch.Tensor) -> torch.Tensor:
    """Logits below their maximum, over the temperature: no overflow however small that is."""
    peak_R1 = logits_RV.amax(-1, keepdim=True)
    return (logits_RV - peak_R1).div_(temperature_R[:, None])


def _probabilities(logits_RV: torch.Tensor, temperature_R: torch.Tensor) -> torch.Tensor:
    """Softmax at the rows' temperatures, fp32, in memory of its own."""
    return _tempered(logits_RV, temperature_R).softmax(-1)


def _score_sampled(
    logits_RV: torch.Tensor, batch: SamplingBatch, token_ids_R: torch.Tensor
) -> LogprobTensors | None:
    """Log-probabilities of the rows that ask for them, from adjusted logits."""
    if not len(batch.scored):
        return None
    index = batch.scored.tensor
    tempered = _tempered(logits_RV[index], batch.temperature_R[index])
    return score_positions(tempered, token_ids_R[index], batch.logprobs)
