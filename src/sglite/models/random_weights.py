"""Random weights whose greedy output is varied, for `--load-format dummy` and `sglite make-model`.

Ordinary initialisation (std 0.02 everywhere) makes a poor stand-in: with tied embeddings the state
stays close to the embedding of the last token, so that token wins again and the output is one word
repeated. Three choices avoid it. Linear layers keep the scale of their input (std 1/sqrt(fan-in)),
so the blocks outweigh the embedding in the residual stream. Queries are sharp, so attention picks
tokens instead of averaging them and the state depends on the whole context. The final norm has
random signs, so the state is not similar to any embedding by construction.

On an accelerator the numbers are drawn there, with its own generator: the same distributions, other
bits. Tens of gigabytes take a second, and never cross the host.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection

import torch

QUERY_GAIN = 3.0  # attention logits get this std: a few keys take most of the weight
LOGIT_STD = 3.0  # a clear winner per position, and a spread-out distribution to sample from
BIAS_STD = 0.1
NORM_STD = 0.1
# Rows of the embedding for tokens that should end a text only when asked to: benchmarks and tests
# want outputs of the length they request. Small, yet far above a norm's epsilon.
QUIET_ROW_SCALE = 0.25
BLOCK_ELEMENTS = 1 << 22


def random_weight(
    name: str,
    shape: tuple[int, ...],
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    quiet_rows: Collection[int] = (),
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """The tensor that the Hugging Face name ``name`` stands for, the same in every process.

    It depends on name, shape, seed and the kind of ``device``, where it lies, only; so the order of
    generation, shards and ``dtype`` (up to rounding) do not matter.
    ``quiet_rows`` are token ids that greedy decoding should avoid.
    """
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=7).digest()
    generator = torch.Generator(device).manual_seed(int.from_bytes(digest, "little"))
    weight = torch.empty(math.prod(shape), dtype=dtype, device=device)
    mean, std = _mean_and_std(name, shape)
    for start in range(0, weight.numel(), BLOCK_ELEMENTS):
        block = weight[start : start + BLOCK_ELEMENTS]
        values = torch.empty(block.numel(), device=device).normal_(mean, std, generator=generator)
        if name == "model.norm.weight":
            signs = torch.randint(0, 2, values.shape, generator=generator, device=device)
            values *= signs * 2 - 1
        block.copy_(values)
    weight = weight.view(shape)
    if name in ("model.embed_tokens.weight", "lm_head.weight") and quiet_rows:
        weight[[row for row in quiet_rows if row < shape[0]]] *= QUIET_ROW_SCALE
    return weight


def _mean_and_std(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    if name.endswith("q_norm.weight"):
        return QUERY_GAIN, QUERY_GAIN * NORM_STD
    if name.endswith("norm.weight"):
        return 1.0, NORM_STD
    if name.endswith(".bias"):
        return 0.0, BIAS_STD
    gain = 1.0
    if name.endswith("q_proj.weight"):
        gain = QUERY_GAIN  # a q_norm that follows would cancel it, and has the gain itself
    elif name in ("model.embed_tokens.weight", "lm_head.weight"):
        gain = LOGIT_STD
    return 0.0, gain / math.sqrt(shape[-1])
