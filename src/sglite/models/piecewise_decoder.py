"""A decoder whose small batches are replayed in pieces, with attention run between them.

A chunk of a few hundred tokens is less work for a GPU than its launches are for the host. The runs
of such a batch are ragged and different every time, which is the business of attention alone: what
lies between two attentions sees tokens and no runs. So that is captured, once per number of tokens
(a bucket), and a batch is padded up to the next one:

    load              the batch's ids, positions and slots, and padding, into static buffers
    piece 0           embed, project of layer 0
    attend 0          eager, the batch's own tokens only
    piece 1           finish of layer 0, project of layer 1
    ...
    piece L           finish of the last layer, last norm

A padding token is token 0 at position 0, and its K and V go to the pool's spare page. What a piece
computes for it is never read: everything outside of attention treats each token by itself.

Shape legend: T tokens packed, M tokens of the largest bucket, N query heads, D head dim, E hidden,
L layers. See docs/shapes.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from sglite.device import Device, Graph
from sglite.kernels.rotary_store import Rotation
from sglite.models.decoder import Decoder

if TYPE_CHECKING:
    from sglite.executors.forward_batch import ForwardBatch
    from sglite.kvcache.kv_pool import KVPool

SMALLEST_BUCKET = 16
LARGEST_BUCKET = 512
"""Beyond it the GPU is busier than the host."""

IDS, POSITIONS, SLOTS = 0, 1, 2
"""Lines of :class:`Buffers`' inputs; those of the slots go on from there."""


def bucket_sizes(max_tokens: int) -> list[int]:
    """Powers of two from 16 up to 512, as far as ``max_tokens`` needs them."""
    sizes = []
    size = SMALLEST_BUCKET
    while size <= LARGEST_BUCKET:
        sizes.append(size)
        if size >= max_tokens:
            break
        size *= 2
    return sizes


@dataclass(frozen=True, slots=True)
class Buffers:
    """What the pieces of all buckets hand to each other; a bucket uses the first tokens.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | inputs | [2 + groups, M] | int64 | ids, positions, and the slots of each KV group |
    | padding | [2 + groups, 1] | int64 | the inputs of a padding token |
    | hidden_ME | [M, E] | the model's | the residual stream |
    | q_MND | [M, N, D] | the model's | a layer's queries |
    | attended_MND | [M, N, D] | the model's | what they found |
    | normed_ME | [M, E] | the model's | the result |
    """

    inputs: torch.Tensor
    padding: torch.Tensor
    hidden_ME: torch.Tensor
    q_MND: torch.Tensor
    attended_MND: torch.Tensor
    normed_ME: torch.Tensor

    @staticmethod
    def allocate(decoder: Decoder, kv_pool: KVPool, device: Device, size: int) -> Buffers:
        """Buffers for ``size`` tokens, all of them padding."""
        spare_slots = [
            kv_pool.spare_page(group) * kv_pool.page_size for group in range(len(kv_pool.groups))
        ]
        padding = torch.tensor([0, 0, *spare_slots], device=device.torch_device)[:, None]
        zeros = partial(torch.zeros, dtype=decoder.dtype, device=decoder.device)
        heads, spec = decoder.blocks()[0].attention.num_heads, decoder.spec
        return Buffers(
            inputs=padding.repeat(1, size),
            padding=padding,
            hidden_ME=zeros(size, spec.hidden_size),
            q_MND=zeros(size, heads, spec.head_dim),
            attended_MND=zeros(size, heads, spec.head_dim),
            normed_ME=zeros(size, spec.hidden_size),
        )

    def load(self, batch: ForwardBatch, bucket: int) -> None:
        """The inputs of ``batch``, and padding behind them up to ``bucket``."""
        num_tokens = batch.input_ids_T.shape[0]
        self.inputs[IDS, :num_tokens].copy_(batch.input_ids_T)
        self.inputs[POSITIONS, :num_tokens].copy_(batch.positions_T)
        for group, metadata in enumerate(batch.attention):
            self.inputs[SLOTS + group, :num_tokens].copy_(metadata.out_slots_T)
        self.pad(num_tokens, bucket)

    def pad(self, first: int, end: int) -> None:
        """The tokens from ``first`` to ``end`` become padding."""
        if first < end:
            self.inputs[:, first:end].copy_(self.padding.expand(-1, end - first))


class PiecewiseDecoder:
    """Runs batches of up to ``max_tokens`` tokens in pieces, others with the decoder itself.

    ``max_tokens`` is rounded up to a bucket; 512 is the last, 0 means none. Sequences are at most
    ``context_length`` long, and ``kv_pool``, which has a spare page, is the one that batches are
    about. A model whose rotation depends on the length of a sequence is never captured, nor is one
    stage of several or one lane. The buffers' memory is taken at once, a graph's when its bucket is
    captured: at the first batch of that size, or by :meth:`capture_all`.
    """

    def __init__(
        self,
        decoder: Decoder,
        device: Device,
        kv_pool: KVPool,
        *,
        max_tokens: int,
        context_length: int,
    ) -> None:
        self._decoder = decoder
        self._device = device
        self._kv_pool = kv_pool
        self._blocks = decoder.blocks()
        self._group_of_layer = decoder.spec.group_of_layer()
        self._graphs: dict[int, list[Graph]] = {}
        self._buckets: list[int] = []
        is_part = decoder.share.layers is not None or decoder.share.has_lanes
        if decoder.spec.rope.depends_on_length or is_part or max_tokens == 0:
            return
        self._buckets = bucket_sizes(max_tokens)
        # All of it before the first capture: a graph goes on reading the table that it has seen.
        self._angles_PD = decoder.rotary.table(context_length)
        self._buffers = Buffers.allocate(decoder, kv_pool, device, self._buckets[-1])

    @property
    def buckets(self) -> tuple[int, ...]:
        """Numbers of tokens that batches are padded to, ascending."""
        return tuple(self._buckets)

    @torch.inference_mode()
    def __call__(self, batch: ForwardBatch, kv_pool: KVPool) -> torch.Tensor:
        """Enqueue the pass; hidden states ``[T, E]``, good until the next call.

        To be called outside of ``Device.run``. The batch's tensors may still be on their way.
        """
        assert kv_pool is self._kv_pool, "captured for another KV pool"
        num_tokens = batch.input_ids_T.shape[0]
        bucket = next((size for size in self._buckets if num_tokens <= size), None)
        if bucket is None:
            return self._run_whole(batch)
        graphs = self.capture(bucket)
        self._device.run(partial(self._buffers.load, batch, bucket))
        for layer, graph in enumerate(graphs[:-1]):
            graph.replay()
            self._device.run(partial(self._attend, layer, batch))
        graphs[-1].replay()
        return self._buffers.normed_ME[:num_tokens]

    @torch.inference_mode()
    def capture_all(self, advance: Callable[[int], None] = lambda count: None) -> None:
        """Capture all buckets, the largest first; ``advance`` gets 1 after each."""
        for bucket in reversed(self._buckets):
            self.capture(bucket)
            advance(1)

    def _run_whole(self, batch: ForwardBatch) -> torch.Tensor:
        decoder, num_tokens = self._decoder, batch.input_ids_T.shape[0]
        size = (num_tokens, decoder.spec.hidden_size)
        hidden_TE = torch.empty(size, dtype=decoder.dtype, device=decoder.device)

        def work() -> None:
            hidden_TE.copy_(decoder(batch, self._kv_pool))

        self._device.run(work)
        return hidden_TE

    def _attend(self, layer: int, batch: ForwardBatch) -> None:
        """The attention of a layer, over the tokens that are no padding."""
        num_tokens, buffers = batch.input_ids_T.shape[0], self._buffers
        attended_TND = self._blocks[layer].attention.attend(
            buffers.q_MND[:num_tokens],
            batch.attention[self._group_of_layer[layer]],
            self._kv_pool.layer(layer),
        )
        buffers.attended_MND[:num_tokens].copy_(attended_TND)

    @torch.inference_mode()
    def capture(self, bucket: int) -> list[Graph]:
        """The pieces of ``bucket``, captured now if they were not yet."""
        graphs = self._graphs.get(bucket)
        if graphs is None:
            # A capture may do the work, which must not touch the pages of an earlier batch.
            self._device.run(partial(self._buffers.pad, 0, bucket))
            graphs = [
                self._device.capture(partial(self._piece, index, bucket))
                for index in range(len(self._blocks) + 1)
            ]
            self._graphs[bucket] = graphs
        return graphs

    def _piece(self, index: int, bucket: int) -> None:
        """What lies between the attentions of the layers ``index - 1`` and ``index``."""
        buffers, delta_TE = self._buffers, None
        hidden_TE = buffers.hidden_ME[:bucket]
        if index == 0:
            hidden_TE.copy_(self._decoder.embed(buffers.inputs[IDS, :bucket], None))
        else:
            attended_TND = buffers.attended_MND[:bucket]
            delta_TE = self._blocks[index - 1].finish(hidden_TE, attended_TND)
        if index < len(self._blocks):
            rotation = Rotation(self._angles_PD, buffers.inputs[POSITIONS, :bucket])
            slots_T = buffers.inputs[SLOTS + self._group_of_layer[index], :bucket]
            kv_layer = self._kv_pool.layer(index)
            q_TND = self._blocks[index].project(hidden_TE, delta_TE, rotation, kv_layer, slots_T)
            buffers.q_MND[:bucket].copy_(q_TND)
        else:
            assert delta_TE is not None, "a model has layers"
            normed_TE = self._decoder.close_stream(hidden_TE, delta_TE)
            buffers.normed_ME[:bucket].copy_(normed_TE)
