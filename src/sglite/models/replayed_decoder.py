"""A decoder whose step is recorded once and replayed by one call into the compiled CPU kernels.

It computes what :class:`sglite.models.decoder.Decoder` computes, which is its specification:
activations are float32 between the products, weights keep their type.

Shape legend: T tokens packed, R rows, E hidden, F ffn, V vocab. See docs/shapes.md.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from sglite.executors.forward_batch import FloatArray, HostBatch, HostDraws, Int32Array, IntArray
from sglite.kernels import cpu
from sglite.kvcache.kv_pool import BLOCK_TOKENS, KVLayout
from sglite.models.layers.parallel import ModelShare
from sglite.models.layers.rotary import RotaryEmbedding
from sglite.models.packed_weights import PackedWeights
from sglite.models.quantization import Quantization
from sglite.models.spec import DecoderSpec
from sglite.models.step_recorder import Recording, StepRecorder
from sglite.models.weight_map import WeightTarget

if TYPE_CHECKING:
    from sglite.executors.forward_batch import ForwardBatch, IntArray
    from sglite.kvcache.kv_pool import KVPool

FEWEST_ROWS = 64
"""Rows that the buffers of a recording hold at least; they double when a longer step comes."""


def why_not_replayed(
    spec: DecoderSpec, dtype: torch.dtype, *, page_size: int, share: ModelShare | None = None
) -> str | None:
    """Why the compiled kernels cannot run this model, or this share of it, in a few words; None
    where they can. All ranks of a model get the same answer.
    """
    share = share or ModelShare()
    if share.has_lanes:
        return "DP-attention"
    if dtype not in (torch.float32, torch.bfloat16):
        return f"no {str(dtype).removeprefix('torch.')} activations"
    if page_size % BLOCK_TOKENS:
        return f"page_size {page_size} is not a multiple of {BLOCK_TOKENS}"
    if spec.head_dim % 16 or spec.head_dim > 256:
        return f"head_dim {spec.head_dim} is not a multiple of 16 up to 256"
    if spec.num_attention_heads // spec.num_kv_heads > 48:
        return "more than 48 query heads share a KV head"
    if spec.hidden_size % 2 or share.mlp.padded_split(spec.intermediate_size) % 2:
        return "an odd hidden or intermediate size"
    return None


class ReplayedDecoder:
    """A decoder-only language model for inference on a CPU.

    ``dtype`` is that of the products' inputs where ``instruction_set`` multiplies it;
    ``weight_dtype`` that of the weights in memory, unless a ``quantization`` makes them integers.
    Without ``groups_prefixes`` sequences with a common start do not attend to it together, and long
    ones are not split for the threads: the bits of a sequence do not depend on what else is in its
    batch. The weights are zero until they are written.

    ``share`` is the rank's part of the model: the ranks of a group make the same calls with the
    same batch, and rank 0 of the last stage has the logits and next tokens.
    """

    kv_layout: KVLayout = "block"

    def __init__(
        self,
        spec: DecoderSpec,
        *,
        dtype: torch.dtype,
        weight_dtype: torch.dtype,
        instruction_set: str,
        quantization: Quantization | None = None,
        groups_prefixes: bool = True,
        share: ModelShare | None = None,
    ) -> None:
        extension = cpu.extension()
        assert extension is not None, cpu.why_missing()
        self.spec, self.dtype = spec, dtype
        self.share = share = share or ModelShare()
        self.num_kv_heads = share.tp.kv_heads(spec.num_kv_heads)[1]
        self.instruction_set, self.groups_prefixes = instruction_set, groups_prefixes
        num_threads = torch.get_num_threads()
        self.weights = PackedWeights(
            spec,
            dtype=weight_dtype,
            extension=extension,
            num_threads=num_threads,
            quantization=quantization,
            instruction_set=instruction_set,
            share=share,
        )
        multiplies_bfloat16 = extension.best_x_type(instruction_set) == "bfloat16"
        is_narrow = multiplies_bfloat16 and dtype == torch.bfloat16
        product_dtype = torch.bfloat16 if is_narrow else torch.float32
        self._recorder = StepRecorder(
            spec,
            share,
            new_program=partial(
                extension.Program,
                instruction_set,
                num_threads,
                groups_prefixes=groups_prefixes,
            ),
            product_dtype=product_dtype,
            # Rows that become integers are best made of what is not rounded yet.
            input_dtype=torch.float32 if quantization else product_dtype,
        )
        self._rotary = RotaryEmbedding(
            spec.rope, head_dim=spec.head_dim, dtype=torch.float32, device="cpu"
        )
        self._body: Recording | None = None
        self._head: Recording | None = None
        self._pool: KVPool | None = None
        self._num_samples = 0

    @property
    def stream_dtype(self) -> torch.dtype:
        """Type of the residual stream, which goes from stage to stage."""
        return torch.float32

    @property
    def num_bytes(self) -> int:
        """Memory of the weights."""
        return self.weights.num_bytes

    def write(self, name: str, target: WeightTarget, tensor: torch.Tensor) -> None:
        """Pack checkpoint tensor ``name`` into its place; ModelLoadError for another shape."""
        target.check_shape(name, tensor)
        self.weights.write(target, tensor)

    def __call__(
        self,
        batch: HostBatch | ForwardBatch,
        kv_pool: KVPool,
        hidden_TE: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Hidden states ``[T, E]``, float32, before the last norm; writes K and V into the pool.

        ``hidden_TE`` is what the stage before this one returned. Of a HostBatch the result is good
        until the next call, and the logits and next tokens of its ``sample_tokens`` are computed as
        well, by the last stage.
        """
        if not isinstance(batch, HostBatch):
            return self(batch.on_host(), kv_pool, hidden_TE).clone()
        num_tokens, num_samples = len(batch.input_ids_T), len(batch.sample_tokens)
        body = self._recording_for(num_tokens, num_samples, kv_pool)
        if hidden_TE is not None:
            body.hidden_TE[:num_tokens].copy_(hidden_TE)
        table, rows_T = self._rotary_rows(batch)
        draws = batch.draws
        body.program.replay(
            batch.input_ids_T,
            table,
            rows_T,
            batch.run_offsets,
            batch.seq_lens_R,
            [group.page_table_RP for group in batch.groups],
            [group.out_slots_T for group in batch.groups],
            batch.sample_tokens,
            None if draws is None else draws.floats,
            None if draws is None else draws.integers,
            None if draws is None else draws.samples,
        )
        self._num_samples = num_samples
        return body.hidden_TE[:num_tokens]

    def sample_logits(self) -> torch.Tensor:
        """Logits ``[R, V]`` of the last batch's sample tokens; scratch, good until the next."""
        assert self._body is not None, "nothing was computed yet"
        return self._body.logits_RV[: self._num_samples]

    def draw(self, draws: HostDraws) -> None:
        """Draw from the last batch's logits, as they were computed, into :meth:`next_tokens`."""
        assert self._body is not None, "nothing was computed yet"
        self._body.program.draw(draws.samples, draws.floats, draws.integers, draws.legal_words)

    def next_tokens(self) -> IntArray:
        """Int64 ``[R]``: what :meth:`sample_logits` gave as the batch's draws say.

        -1 where the largest logit is not finite, one of them is no number, or no legal one is above
        -inf. Of samples that did not draw yet it is no token of theirs.
        """
        assert self._body is not None, "nothing was computed yet"
        return self._body.token_ids_R[: self._num_samples]

    def compute_logits(self, hidden_RE: torch.Tensor) -> torch.Tensor:
        """Logits ``[R, V]``, float32, of rows of the result; good until the next call."""
        num_rows = hidden_RE.shape[0]
        head = self._head
        if head is None or head.capacity < num_rows:
            head = self._head = self._recorder.record_head(self.weights, _capacity(num_rows))
        head.hidden_TE[:num_rows].copy_(hidden_RE)
        head.program.replay_rows(num_rows)
        return head.logits_RV[:num_rows]

    def _rotary_rows(self, batch: HostBatch) -> tuple[FloatArray, Int32Array]:
        """A table of cos and sin, and each token's row in it."""
        if not self.spec.rope.depends_on_length:
            table = self._rotary.table(int(batch.seq_lens_R.max()))
            return table.numpy(), batch.positions_T.astype(np.int32)
        lengths, offsets = batch.seq_lens_R.tolist(), batch.run_offsets.tolist()
        positions_T = torch.from_numpy(batch.positions_T)
        table, rows_T = self._rotary.table_and_rows(positions_T, lengths, offsets)
        return table.numpy(), rows_T.numpy().astype(np.int32)

    def _recording_for(self, num_tokens: int, num_samples: int, kv_pool: KVPool) -> Recording:
        """The recording, made anew where it is too small or for another pool."""
        body = self._body
        if body is None or self._pool is not kv_pool:
            body = self._body = self._recorder.record_body(
                self.weights, _capacity(num_tokens), _capacity(num_samples), kv_pool
            )
            self._pool = kv_pool
        elif body.capacity < num_tokens or body.sample_capacity < num_samples:
            body = self._body = self._recorder.record_body(
                self.weights,
                max(body.capacity, _capacity(num_tokens)),
                max(body.sample_capacity, _capacity(num_samples)),
                kv_pool,
            )
        return body

    def num_grouped_tokens(self) -> int:
        """Of the last step: how often a token was attended in more than one part."""
        return 0 if self._body is None else int(self._body.program.num_grouped_tokens())


def _capacity(num_rows: int) -> int:
    return max(FEWEST_ROWS, 1 << max(num_rows - 1, 0).bit_length())
