from __future__ import annotations

import torch

from sglite.bench.gpu_suite.attention_backends import (
    AttentionSizes,
    all_backends,
    decode_backends,
)


def test_backends_of_single_tokens_are_those_of_their_kind():
    sizes = AttentionSizes(
        num_heads=4, num_kv_heads=2, head_dim=32, page_size=16, dtype=torch.float32
    )
    device = torch.device("cpu")
    assert list(decode_backends(device, sizes)) == list(all_backends(device, sizes, "decode"))
