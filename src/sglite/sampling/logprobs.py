"""Log-probabilities of sampled and of prompt tokens.

Natural logarithms. For output tokens: the log-softmax after penalties, bias, mask and
temperature, before top-k, top-p and min-p; plain for greedy rows. For prompt tokens: the raw
log-softmax of the model, whatever the temperature. A token that is masked out has -inf where it was
asked for by its id, and is not among the most likely ones.

Shape legend: L positions scored, V vocab, K top tokens, C chosen ids of all positions, E hidden.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from sglite.device.upload import upload
from sglite.kernels.draw.ranking import ranked_topk, rows_per_chunk
from sglite.request import LogprobParams, TokenLogprobs

_PROMPT_LOGITS_BYTES = 64 << 20


class LogprobSelection:
    """What to report for each of L positions, as index tensors made once."""

    def __init__(self, params: Sequence[LogprobParams], device: torch.device) -> None:
        self.params = params
        self.max_top = max((p.top_num for p in params), default=0)
        owners = [i for i, p in enumerate(params) for _ in p.token_ids]
        chosen = [token_id for p in params for token_id in p.token_ids]
        self.chosen_owner_C = upload(owners, torch.int64, device)
        self.chosen_ids_C = upload(chosen, torch.int64, device)


@dataclass(slots=True)
class LogprobTensors:
    """Scores of L positions, still on the device.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | target_L | [L] | fp32 | log-probability of the token at the position |
    | top_LK, top_ids_LK | [L, K] | fp32, int64 | the most likely tokens, highest first |
    | chosen_C | [C] | fp32 | the ids asked for, position after position |
    """

    selection: LogprobSelection
    target_L: torch.Tensor
    top_LK: torch.Tensor
    top_ids_LK: torch.Tensor
    chosen_C: torch.Tensor

    def pack(self) -> list[torch.Tensor]:
        """All fields as flat int64 pieces; floats as their bits (MPS has no float64)."""
        floats = torch.cat([self.target_L, self.top_LK.flatten(), self.chosen_C])
        return [floats.view(torch.int32).to(torch.int64), self.top_ids_LK.flatten()]

    def unpack(self, token_ids: Sequence[int], packed: torch.Tensor) -> list[TokenLogprobs]:
        """Read what :meth:`pack` wrote, after its way to the host."""
        num_positions, max_top = self.top_LK.shape
        num_top = num_positions * max_top
        num_floats = num_positions + num_top + self.chosen_C.shape[0]
        floats = packed[:num_floats].to(torch.int32).view(torch.float32).tolist()
        top_ids = packed[num_floats:].tolist()
        top = floats[num_positions : num_positions + num_top]
        chosen = iter(floats[num_positions + num_top :])
        scored = []
        for i, params in enumerate(self.selection.params):
            span = slice(i * max_top, i * max_top + min(params.top_num, max_top))
            ranked = zip(top_ids[span], top[span], strict=True)
            pairs = tuple(pair for pair in ranked if pair[1] != -math.inf)
            asked = tuple((token_id, next(chosen)) for token_id in params.token_ids)
            scored.append(TokenLogprobs(token_ids[i], floats[i], pairs, asked))
        return scored


def score_positions(
    logits_LV: torch.Tensor, target_ids_L: torch.Tensor, selection: LogprobSelection
) -> LogprobTensors:
    """Log-softmax of fp32 logits at the targets (int64), the top tokens and the chosen ids."""
    max_top = min(selection.max_top, logits_LV.shape[1])
    step = rows_per_chunk(logits_LV.shape[1], logits_LV.device)
    normalizers, tops, top_ids = [], [], []
    for begin in range(0, logits_LV.shape[0], step):
        piece = logits_LV[begin : begin + step]
        normalizers.append(piece.logsumexp(-1))
        values, ids = ranked_topk(piece, max_top)
        tops.append(values - normalizers[-1][:, None])
        top_ids.append(ids)
    normalizer_L = torch.cat(normalizers)
    target_L = logits_LV.gather(-1, target_ids_L[:, None])[:, 0] - normalizer_L
    owner_C = selection.chosen_owner_C
    chosen_C = logits_LV[owner_C, selection.chosen_ids_C] - normalizer_L[owner_C]
    return LogprobTensors(selection, target_L, torch.cat(tops), torch.cat(top_ids), chosen_C)


def logits_chunk_rows(vocab_size: int) -> int:
    """Positions whose fp32 logits take about 64 MB."""
    return max(1, _PROMPT_LOGITS_BYTES // (4 * vocab_size))


@dataclass(slots=True)
class PromptScores:
    """Scores of prompt positions, on their way to the host: (targets, scores, packed) by piece."""

    pieces: list[tuple[list[int], LogprobTensors, torch.Tensor]] = field(default_factory=list)

    def read(self) -> list[TokenLogprobs]:
        """As host lists; what computes them must have ended."""
        return [
            scored
            for target_ids, tensors, packed in self.pieces
            for scored in tensors.unpack(target_ids, packed)
        ]


@torch.inference_mode()
def prompt_logprobs(
    hidden_TE: torch.Tensor,
    compute_logits: Callable[[torch.Tensor], torch.Tensor],
    targets: Sequence[int],
    params: LogprobParams,
    *,
    chunk_rows: int,
) -> PromptScores:
    """Score ``targets[i]`` by the logits of ``hidden_TE[i]``, the hidden state one position before.

    The head runs over ``chunk_rows`` positions at a time (:func:`logits_chunk_rows`): the logits
    of 2,048 positions of a 151,936-token vocabulary would take 1.2 GB at once.
    """
    assert hidden_TE.shape[0] == len(targets), f"{hidden_TE.shape[0]} states, {len(targets)} tokens"
    scores = PromptScores()
    for begin in range(0, len(targets), chunk_rows):
        target_ids = list(targets[begin : begin + chunk_rows])
        logits_LV = compute_logits(hidden_TE[begin : begin + chunk_rows]).float()
        selection = LogprobSelection([params] * len(target_ids), logits_LV.device)
        target_ids_L = upload(target_ids, torch.int64, logits_LV.device)
        tensors = score_positions(logits_LV, target_ids_L, selection)
        packed = torch.cat(tensors.pack()).to("cpu", non_blocking=True)
        scores.pieces.append((target_ids, tensors, packed))
    return scores
