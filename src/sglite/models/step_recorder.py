"""Records a model's step, or a rank's share of it, as a program of the compiled CPU kernels.

What the ranks of a tensor-parallel group compute lies in pieces between which they sum their parts:
a program calls the group there. Rank 0 adds its part of a product to the residual stream, the
others replace theirs by it; so the sum over ranks is the stream's next state, the same bits on all.

Shape legend: T tokens packed, R rows, E hidden, F ffn, V vocab. See docs/shapes.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from sglite.executors.forward_batch import IntArray
from sglite.kvcache.host_memory import lazy_zeros
from sglite.models.layers.parallel import ModelShare, RankGroup
from sglite.models.packed_matrix import Matrix
from sglite.models.packed_weights import PackedWeights
from sglite.models.spec import DecoderSpec

if TYPE_CHECKING:
    from sglite.kvcache.kv_pool import KVPool


@dataclass(frozen=True, slots=True)
class Recording:
    """A program, and the buffers that it reads and leaves its results in.

    ``hidden_TE`` holds ``capacity`` rows, ``logits_RV`` and ``token_ids_R`` as many samples as
    ``sample_capacity``. Of a rank that draws nothing they are its part of the vocabulary, and -1.
    """

    program: Any
    capacity: int
    sample_capacity: int
    hidden_TE: torch.Tensor
    logits_RV: torch.Tensor
    token_ids_R: IntArray


@dataclass(frozen=True, slots=True)
class StepRecorder:
    """``new_program(page_sizes, windows)`` makes a program; ``product_dtype`` is what queries get,
    ``input_dtype`` what the products of the layers read."""

    spec: DecoderSpec
    share: ModelShare
    new_program: Callable[[list[int], list[int]], Any]
    product_dtype: torch.dtype
    input_dtype: torch.dtype

    def record_body(
        self, weights: PackedWeights, capacity: int, sample_capacity: int, kv_pool: KVPool
    ) -> Recording:
        """The whole step of this rank.

        A stage that is not the first finds its inputs in ``hidden_TE``; one that is not the last
        leaves its results there and computes no logits.
        """
        spec, share = self.spec, self.share
        hidden_TE = lazy_zeros((capacity, spec.hidden_size), torch.float32)
        windows = [group.window or 0 for group in kv_pool.groups]
        program = self.new_program([kv_pool.page_size] * len(windows), windows)
        if share.is_first_stage:
            table = weights.matrices["embed_tokens"]
            table.record_embed(program, hidden_TE, first_id=share.tp.rank * table.outputs)
            _record_sum(program, share.tp.group, hidden_TE)
        self._record_layers(program, weights, hidden_TE, kv_pool)
        logits_RV, token_ids_R = torch.zeros(0, 0), torch.zeros(0, dtype=torch.int64)
        if share.is_last_stage:
            logits_RV, token_ids_R = self._record_samples(
                program, weights, hidden_TE, sample_capacity
            )
        return Recording(
            program, capacity, sample_capacity, hidden_TE, logits_RV, token_ids_R.numpy()
        )

    def record_head(self, weights: PackedWeights, capacity: int) -> Recording:
        """The last norm and the head alone, of all rows; for prompt log-probabilities."""
        hidden_RE = torch.zeros(capacity, self.spec.hidden_size)
        program = self.new_program([], [])
        logits_RV, token_ids_R = self._record_samples(
            program, weights, hidden_RE, capacity, of_samples=False
        )
        return Recording(program, capacity, capacity, hidden_RE, logits_RV, token_ids_R.numpy())

    def _record_layers(
        self, program: Any, weights: PackedWeights, hidden_TE: torch.Tensor, kv_pool: KVPool
    ) -> None:
        spec, share = self.spec, self.share
        norms, matrices = weights.norms, weights.matrices
        heads = (
            share.tp.split(spec.num_attention_heads, "num_attention_heads"),
            share.tp.kv_heads(spec.num_kv_heads)[1],
            spec.head_dim,
        )
        capacity, q_size = hidden_TE.shape[0], heads[0] * spec.head_dim
        qkv_size = q_size + 2 * heads[1] * spec.head_dim
        ffn = share.mlp.padded_split(spec.intermediate_size)
        normed_TE = lazy_zeros((capacity, spec.hidden_size), self.input_dtype)
        qkv = lazy_zeros((capacity, qkv_size), torch.float32)
        # Only bfloat16 is multiplied by bfloat16; what else is in the pool widens to float32.
        is_narrow = kv_pool.dtype == torch.bfloat16
        query_dtype = self.product_dtype if is_narrow else torch.float32
        q, attended = (lazy_zeros((capacity, q_size), query_dtype) for _ in range(2))
        gated_TF = lazy_zeros((capacity, ffn), self.input_dtype)
        group_of_layer = spec.group_of_layer()
        for index in share.layers or range(spec.num_layers):
            layer, pages = f"layers.{index}", kv_pool.blocks(index)
            group = group_of_layer[index]
            qk_norms = [norms.get(f"{layer}.attention.{name}") for name in ("q_norm", "k_norm")]
            program.norm(hidden_TE, norms[f"{layer}.input_norm"], normed_TE, spec.rms_norm_eps)
            matrices[f"{layer}.attention.qkv"].record_linear(program, normed_TE, qkv)
            program.rotate(
                qkv, q, *pages, *qk_norms, *heads, spec.rms_norm_eps, spec.attention_scale, group
            )
            program.attend(q, attended, *pages, *heads, group, spec.attention_softcap or 0.0)
            self._record_add(program, matrices[f"{layer}.attention.output"], attended, hidden_TE)
            program.norm(hidden_TE, norms[f"{layer}.mlp_norm"], normed_TE, spec.rms_norm_eps)
            matrices[f"{layer}.mlp.gate_up"].record_linear(
                program, normed_TE, gated_TF, epilogue="gated", activation=spec.activation
            )
            self._record_add(program, matrices[f"{layer}.mlp.down"], gated_TF, hidden_TE)

    def _record_add(
        self, program: Any, matrix: Matrix, x: torch.Tensor, hidden_TE: torch.Tensor
    ) -> None:
        """Add to the residual stream what the ranks' parts of a product come to."""
        tp = self.share.tp
        matrix.record_linear(program, x, hidden_TE, epilogue="store" if tp.rank else "add")
        _record_sum(program, tp.group, hidden_TE)

    def _record_samples(
        self,
        program: Any,
        weights: PackedWeights,
        hidden_TE: torch.Tensor,
        capacity: int,
        *,
        of_samples: bool = True,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The last norm and the head of the tokens that are sampled, or of all rows."""
        spec, tp = self.spec, self.share.tp
        normed_RE = lazy_zeros((capacity, spec.hidden_size), self.input_dtype)
        token_ids_R = torch.full((capacity,), -1, dtype=torch.int64)
        head = weights.matrices["embed_tokens" if spec.tie_word_embeddings else "lm_head"]
        part_RV = lazy_zeros((capacity, head.outputs), torch.float32)
        program.norm(hidden_TE, weights.norms["norm"], normed_RE, spec.rms_norm_eps, of_samples)
        head.record_linear(program, normed_RE, part_RV, of_samples=of_samples)
        logits_RV = part_RV
        if tp.group is not None:
            if tp.rank == 0:
                logits_RV = lazy_zeros((capacity, spec.vocab_size), torch.float32)
            program.call(_gather_into(logits_RV, part_RV, tp.group), of_samples)
        if of_samples and tp.rank == 0:
            program.sample(logits_RV, token_ids_R, spec.vocab_size)
        return logits_RV, token_ids_R


def _record_sum(program: Any, group: RankGroup | None, hidden_TE: torch.Tensor) -> None:
    """From here on the stream is the sum of what the ranks have."""
    if group is not None:
        ranks = group  # narrowed for the function below
        program.call(lambda num_rows: ranks.all_reduce(hidden_TE[:num_rows]))


def _gather_into(
    logits_RV: torch.Tensor, part_RV: torch.Tensor, group: RankGroup
) -> Callable[[int], None]:
    """What takes the parts of all ranks together, without what pads the last one's."""
    vocab_size = logits_RV.shape[1]

    def gather(num_rows: int) -> None:
        joined_RV = group.gather(part_RV[:num_rows])
        if logits_RV is not part_RV:
            logits_RV[:num_rows].copy_(joined_RV[:, :vocab_size])

    return gather
