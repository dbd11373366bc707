"""Two ranks in one process: their partial results are returned instead of being summed."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sglite.models.decoder import Decoder
from sglite.models.layers.parallel import ModelShare, TensorParallel
from sglite.models.spec import DecoderSpec
from sglite.models.weight_map import weight_map


@dataclass(frozen=True)
class PartialSums(TensorParallel):
    """A rank whose collectives leave its own part as it is."""

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor


def whole_and_ranks(spec: DecoderSpec, size: int) -> tuple[Decoder, list[Decoder]]:
    """The same random weights in one decoder and in ``size`` ranks of it."""
    targets = weight_map(spec)
    checkpoint = {name: torch.randn(target.shape) / 8 for name, target in targets.items()}
    splits = [PartialSums(rank, size) for rank in range(size)]
    shares = [ModelShare(tp=split, mlp=split) for split in splits]
    decoders = [Decoder(spec)] + [Decoder(spec, share=share) for share in shares]
    for decoder in decoders:
        for name, target in decoder.load_plan().items():
            decoder.write(name, target, checkpoint[name])
    return decoders[0], decoders[1:]
