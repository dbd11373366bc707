"""The transformer: blocks built from a spec, run over a packed batch.

Shape legend: T tokens packed, R rows, E hidden, V vocab. See docs/shapes.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from sglite.models.layers.attention import SelfAttention
from sglite.models.layers.embedding import VocabEmbedding, vocab_logits
from sglite.models.layers.mlp import GatedMLP
from sglite.models.layers.norm import RMSNorm
from sglite.models.layers.parallel import ModelShare, TensorParallel
from sglite.models.layers.rotary import RotaryEmbedding
from sglite.models.spec import DecoderSpec
from sglite.models.weight_map import WeightTarget, weight_map

if TYPE_CHECKING:
    from sglite.executors.forward_batch import ForwardBatch
    from sglite.kernels.rotary_store import Rotation
    from sglite.kvcache.kv_pool import KVLayer, KVLayout, KVPool


class DecoderLayer(nn.Module):
    """One block: attention, then MLP, each on the normalised residual stream and added to it.

    What a block adds last is handed on, for the next norm reads the sum anyway. A block comes in
    two parts, before and after the queries attend: what lies between two attentions sees tokens
    and no runs.
    """

    def __init__(
        self,
        spec: DecoderSpec,
        *,
        share: ModelShare,
        dtype: torch.dtype,
        device: torch.device | str,
        deterministic: bool = False,
    ) -> None:
        super().__init__()
        hidden, eps = spec.hidden_size, spec.rms_norm_eps
        self.input_norm = RMSNorm(hidden, eps=eps, dtype=dtype, device=device)
        self.attention = SelfAttention(
            spec, tp=share.tp, dtype=dtype, device=device, deterministic=deterministic
        )
        self.mlp_norm = RMSNorm(hidden, eps=eps, dtype=dtype, device=device)
        self.mlp = GatedMLP(
            spec, share=share, dtype=dtype, device=device, deterministic=deterministic
        )

    def project(
        self,
        hidden_TE: torch.Tensor,
        delta_TE: torch.Tensor | None,
        rotation: Rotation,
        kv_layer: KVLayer,
        out_slots_T: torch.Tensor,
    ) -> torch.Tensor:
        """Queries ``[T, N, D]`` for attention; the new tokens' K and V are in ``kv_layer`` then.

        ``delta_TE`` is what the residual stream ``hidden_TE`` still lacks; None: nothing yet. It is
        added to the stream in place.
        """
        if delta_TE is None:
            normed_TE = self.input_norm(hidden_TE)
        else:
            normed_TE = self.input_norm.after_adding(delta_TE, hidden_TE)
        return self.attention.project(normed_TE, rotation, kv_layer, out_slots_T)

    def finish(
        self,
        hidden_TE: torch.Tensor,
        attended_TND: torch.Tensor,
        lane_tokens: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """What the residual stream ``hidden_TE`` lacks after the block, ``[T, E]``.

        What attention gives is added to the stream in place. ``lane_tokens``: see ForwardBatch.
        """
        delta_TE = self.attention.finish(attended_TND)
        normed_TE = self.mlp_norm.after_adding(delta_TE, hidden_TE)
        mlp_TE: torch.Tensor = self.mlp(normed_TE, lane_tokens)
        return mlp_TE


class Decoder(nn.Module):
    """A decoder-only language model for inference.

    The weights are allocated on ``device`` and not filled: :meth:`load_plan` says what goes where.
    With ``deterministic`` no product's order of sums depends on the batch (``kernels/linear``).
    ``share`` is what of the model is here: on the first pipeline stage the embedding, on the last
    the norm and the head, which a tied model makes of an embedding of its own there. All ranks of
    a stage make the same calls. Raises ConfigError where ``share`` does not fit the heads.
    """

    kv_layout: KVLayout = "token"

    def __init__(
        self,
        spec: DecoderSpec,
        *,
        share: ModelShare | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        deterministic: bool = False,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.dtype = dtype
        self.deterministic = deterministic
        self.device = torch.device(device)
        self.share = share = share or ModelShare()
        self.layer_numbers = share.layers or range(spec.num_layers)
        is_tied, hidden = spec.tie_word_embeddings, spec.hidden_size
        self.embed_tokens: VocabEmbedding | None = None
        self.lm_head: VocabEmbedding | None = None
        self.norm: RMSNorm | None = None
        vocab = partial(
            VocabEmbedding, spec.vocab_size, hidden, tp=share.tp, dtype=dtype, device=device
        )
        if share.is_first_stage or (share.is_last_stage and is_tied):
            self.embed_tokens = vocab()
        # By the model's own numbers, which parameters are named after.
        self.layers = nn.ModuleDict(
            {
                str(number): DecoderLayer(
                    spec, share=share, dtype=dtype, device=device, deterministic=deterministic
                )
                for number in self.layer_numbers
            }
        )
        if share.is_last_stage:
            self.norm = RMSNorm(hidden, eps=spec.rms_norm_eps, dtype=dtype, device=device)
            if not is_tied:
                self.lm_head = vocab()
        self.rotary = RotaryEmbedding(spec.rope, head_dim=spec.head_dim, dtype=dtype, device=device)

    @property
    def tp(self) -> TensorParallel:
        """What splits heads, embedding and output head."""
        return self.share.tp

    @property
    def stream_dtype(self) -> torch.dtype:
        """Type of the residual stream, which goes from stage to stage."""
        return self.dtype

    @property
    def num_kv_heads(self) -> int:
        """KV heads that this rank holds: what the KV pool is sized by."""
        return self.tp.kv_heads(self.spec.num_kv_heads)[1]

    @property
    def num_bytes(self) -> int:
        """Memory of the weights."""
        return sum(parameter.nbytes for parameter in self.parameters())

    def blocks(self) -> list[DecoderLayer]:
        """The layers in order, of which the first has the number ``layer_numbers[0]``."""
        return cast("list[DecoderLayer]", list(self.layers.values()))

    def load_plan(self) -> dict[str, WeightTarget]:
        """Where each required tensor of a checkpoint goes, by its Hugging Face name."""
        return weight_map(self.spec, self.share)

    def write(self, name: str, target: WeightTarget, tensor: torch.Tensor) -> None:
        """Copy checkpoint tensor ``name`` into its place; ModelLoadError for another shape."""
        target.check_shape(name, tensor)
        target.copy(tensor, self.get_parameter(target.parameter))

    @torch.inference_mode()
    def forward(
        self, batch: ForwardBatch, kv_pool: KVPool, hidden_in_TE: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Hidden states ``[T, E]`` after the last norm; writes the new K and V into ``kv_pool``.

        A stage that is not the first takes ``hidden_in_TE``, what the stage before it returned, and
        changes it; one that is not the last returns the residual stream for the next.
        """
        runs, lane_tokens = batch.attention[0], batch.lane_tokens
        rotation = self.rotary(batch.positions_T, runs.seq_lens, runs.run_offsets)
        hidden_TE, delta_TE = self.embed(batch.input_ids_T, hidden_in_TE), None
        for number, layer in zip(self.layer_numbers, self.blocks(), strict=True):
            metadata = batch.attention[batch.group_of_layer[number]]
            kv_layer = kv_pool.layer(number)
            q_TND = layer.project(hidden_TE, delta_TE, rotation, kv_layer, metadata.out_slots_T)
            attended_TND = layer.attention.attend(q_TND, metadata, kv_layer)
            delta_TE = layer.finish(hidden_TE, attended_TND, lane_tokens)
        assert delta_TE is not None, "a stage has layers"
        return self.close_stream(hidden_TE, delta_TE)

    def embed(self, input_ids_T: torch.Tensor, hidden_in_TE: torch.Tensor | None) -> torch.Tensor:
        """The residual stream ``[T, E]`` before the first layer that is here."""
        if not self.share.is_first_stage:
            assert hidden_in_TE is not None, "the stage before this one gives no hidden states"
            return hidden_in_TE
        assert hidden_in_TE is None and self.embed_tokens is not None, "the first stage embeds"
        hidden_TE: torch.Tensor = self.embed_tokens(input_ids_T)
        return hidden_TE

    def close_stream(self, hidden_TE: torch.Tensor, delta_TE: torch.Tensor) -> torch.Tensor:
        """What :meth:`forward` returns, from the stream after the last layer and what it lacks."""
        if self.norm is None:
            return hidden_TE.add_(delta_TE)
        return self.norm.after_adding(delta_TE, hidden_TE)

    @torch.inference_mode()
    def join_lanes(self, lane_tokens: Sequence[int]) -> None:
        """Take part in a step in which this lane has no tokens: the others' go through its MLPs."""
        empty_TE = torch.empty(0, self.spec.hidden_size, dtype=self.dtype, device=self.device)
        for layer in self.blocks():
            layer.mlp(empty_TE, lane_tokens)

    @torch.inference_mode()
    def compute_logits(self, hidden_RE: torch.Tensor, *, widen: bool = True) -> torch.Tensor:
        """Logits ``[R, V]`` of chosen rows of :meth:`forward`'s result: float32, or as the product
        gives them, in the weights' type, where nobody needs them to ``widen``.

        All ranks of the last stage call it together; only the first of them gets the logits.
        """
        head = self.lm_head or self.embed_tokens
        assert head is not None and self.share.is_last_stage, "the head is on the last stage"
        return vocab_logits(
            hidden_RE,
            head.weight,
            self.tp,
            vocab_size=self.spec.vocab_size,
            widen=widen,
            deterministic=self.deterministic,
        )


def weights_bytes(spec: DecoderSpec, dtype: torch.dtype, share: ModelShare) -> int:
    """Memory of the parameters that ``share`` has of a model; ConfigError where it does not fit."""
    return Decoder(spec, share=share, dtype=dtype, device="meta").num_bytes
