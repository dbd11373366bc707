"""The transformer: blocks built from a spec, run over a packed batch.

Shape legend: T tokens packed, R rows, E hidden, V vocab. See docs/shapes.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from sglite.models.layers.attention import SelfAttention
from sglite.models.layers.embedding import VocabEmbedding, vocab_logits
from sglite.models.layers.mlp import GatedMLP
from sglite.models.layers.norm import RMSNorm
from sglite.models.layers.parallel import TensorParallel
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
        tp: TensorParallel,
        dtype: torch.dtype,
        device: torch.device | str,
        deterministic: bool = False,
    ) -> None:
        super().__init__()
        hidden, eps = spec.hidden_size, spec.rms_norm_eps
        self.input_norm = RMSNorm(hidden, eps=eps, dtype=dtype, device=device)
        self.attention = SelfAttention(
            spec, tp=tp, dtype=dtype, device=device, deterministic=deterministic
        )
        self.mlp_norm = RMSNorm(hidden, eps=eps, dtype=dtype, device=device)
        self.mlp = GatedMLP(spec, tp=tp, dtype=dtype, device=device, deterministic=deterministic)

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

    def finish(self, hidden_TE: torch.Tensor, attended_TND: torch.Tensor) -> torch.Tensor:
        """What the residual stream ``hidden_TE`` lacks after the block, ``[T, E]``.

        What attention gives is added to the stream in place.
        """
        delta_TE = self.attention.finish(attended_TND)
        mlp_TE: torch.Tensor = self.mlp(self.mlp_norm.after_adding(delta_TE, hidden_TE))
        return mlp_TE


class Decoder(nn.Module):
    """A decoder-only language model for inference.

    The weights are allocated on ``device`` and not filled: :meth:`load_plan` says what goes where.
    With ``deterministic`` no product's order of sums depends on the batch (``kernels/linear``).
    Raises ConfigError where ``tp`` does not divide the model evenly.
    """

    kv_layout: KVLayout = "token"

    def __init__(
        self,
        spec: DecoderSpec,
        *,
        tp: TensorParallel | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        deterministic: bool = False,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.dtype = dtype
        self.deterministic = deterministic
        self.tp = tp = tp or TensorParallel()
        hidden = spec.hidden_size
        self.embed_tokens = VocabEmbedding(
            spec.vocab_size, hidden, tp=tp, dtype=dtype, device=device
        )
        self.layers = nn.ModuleList(
            DecoderLayer(spec, tp=tp, dtype=dtype, device=device, deterministic=deterministic)
            for _ in range(spec.num_layers)
        )
        self.norm = RMSNorm(hidden, eps=spec.rms_norm_eps, dtype=dtype, device=device)
        self.lm_head: VocabEmbedding | None = None
        if not spec.tie_word_embeddings:
            self.lm_head = VocabEmbedding(
                spec.vocab_size, hidden, tp=tp, dtype=dtype, device=device
            )
        self.rotary = RotaryEmbedding(spec.rope, head_dim=spec.head_dim, dtype=dtype, device=device)

    @property
    def num_kv_heads(self) -> int:
        """KV heads that this rank holds: what the KV pool is sized by."""
        return self.tp.kv_heads(self.spec.num_kv_heads)[1]

    @property
    def num_bytes(self) -> int:
        """Memory of the weights."""
        return sum(parameter.nbytes for parameter in self.parameters())

    def blocks(self) -> list[DecoderLayer]:
        """The layers in order."""
        return cast("list[DecoderLayer]", list(self.layers))

    def load_plan(self) -> dict[str, WeightTarget]:
        """Where each required tensor of a checkpoint goes, by its Hugging Face name."""
        return weight_map(self.spec, self.tp)

    def write(self, name: str, target: WeightTarget, tensor: torch.Tensor) -> None:
        """Copy checkpoint tensor ``name`` into its place; ModelLoadError for another shape."""
        target.check_shape(name, tensor)
        target.copy(tensor, self.get_parameter(target.parameter))

    @torch.inference_mode()
    def forward(self, batch: ForwardBatch, kv_pool: KVPool) -> torch.Tensor:
        """Hidden states ``[T, E]`` after the last norm; writes the new K and V into ``kv_pool``."""
        runs = batch.attention[0]
        rotation = self.rotary(batch.positions_T, runs.seq_lens, runs.run_offsets)
        hidden_TE = self.embed_tokens(batch.input_ids_T)
        delta_TE = None
        for index, layer in enumerate(self.blocks()):
            metadata, kv_layer = batch.attention[batch.group_of_layer[index]], kv_pool.layer(index)
            q_TND = layer.project(hidden_TE, delta_TE, rotation, kv_layer, metadata.out_slots_T)
            attended_TND = layer.attention.attend(q_TND, metadata, kv_layer)
            delta_TE = layer.finish(hidden_TE, attended_TND)
        assert delta_TE is not None, "a model has layers"
        return self.norm.after_adding(delta_TE, hidden_TE)

    @torch.inference_mode()
    def compute_logits(self, hidden_RE: torch.Tensor, *, widen: bool = True) -> torch.Tensor:
        """Logits ``[R, V]`` of chosen rows of :meth:`forward`'s result: float32, or as the product
        gives them, in the weights' type, where nobody needs them to ``widen``."""
        head, deterministic = self.lm_head or self.embed_tokens, self.deterministic
        return vocab_logits(
            hidden_RE, head.weight, self.tp, widen=widen, deterministic=deterministic
        )
