"""An executor for accelerators over a device of the tests."""

from __future__ import annotations

import torch

from sglite.attention.backend import AttentionShape
from sglite.attention.triton_backend import TritonBackend
from sglite.device import Device
from sglite.executors.device_executor import DeviceExecutor, GroupBackends
from sglite.kvcache.groups import KVGroup
from sglite.kvcache.kv_pool import KVPool
from sglite.models.decoder import Decoder
from sglite.models.piecewise_decoder import PiecewiseDecoder
from tests.device_double import LazyDevice


def make_pool(decoder: Decoder, num_pages: int, page_size: int, *, spare: bool = False) -> KVPool:
    groups = decoder.spec.kv_groups()
    return KVPool(
        groups,
        [num_pages] * len(groups),
        page_size=page_size,
        num_kv_heads=decoder.num_kv_heads,
        head_dim=decoder.spec.head_dim,
        dtype=torch.float32,
        has_spare_page=spare,
    )


def make_device_executor(
    decoder: Decoder,
    num_pages: int,
    *,
    page_size: int,
    max_rows: int,
    max_tokens: int,
    graph_sizes: list[int],
    tokens_in_pieces: int = 0,
    device: Device | None = None,
) -> DeviceExecutor:
    """With sglite's own attention, on a device that is late unless another is given.

    Steps of up to ``tokens_in_pieces`` tokens that are no graph's go through the decoder in pieces.
    """
    device = device or LazyDevice()
    pool = make_pool(decoder, num_pages, page_size, spare=True)
    pieces = None
    if tokens_in_pieces:
        pieces = PiecewiseDecoder(
            decoder, device, pool, max_tokens=tokens_in_pieces, context_length=max_tokens
        )
    return DeviceExecutor(
        decoder,
        pool,
        device,
        [
            make_backends(decoder, group, page_size=page_size, max_tokens=max_tokens)
            for group in pool.groups
        ],
        max_rows=max_rows,
        max_tokens=max_tokens,
        graph_sizes=graph_sizes,
        pieces=pieces,
        check=True,
    )


def make_backends(
    decoder: Decoder, group: KVGroup, *, page_size: int, max_tokens: int
) -> GroupBackends:
    spec = decoder.spec
    shape = AttentionShape(
        num_heads=decoder.tp.split(spec.num_attention_heads, "num_attention_heads"),
        num_kv_heads=decoder.num_kv_heads,
        head_dim=spec.head_dim,
        page_size=page_size,
        dtype=torch.float32,
        scale=spec.attention_scale,
        softcap=spec.attention_softcap,
        window=group.window,
    )
    decode, prefill = (
        TritonBackend(shape, is_decode=is_decode, max_seq_len=max_tokens, num_multiprocessors=4)
        for is_decode in (True, False)
    )
    return GroupBackends(decode, prefill)
