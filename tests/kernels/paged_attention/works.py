"""Work lists for the inputs of ``cases``, on the device that the tests run on."""

from __future__ import annotations

import numpy as np
import torch

from sglite.kernels.paged_attention.prefix_groups import find_groups, group_tiles
from sglite.kernels.paged_attention.work_list import (
    TILE_KEYS,
    DeviceWork,
    Tiling,
    WorkList,
    chunk_work,
    decode_work,
)
from sglite.kernels.triton_support import next_power_of_2
from sglite.kvcache.kv_pool import KVLayer
from tests.kernels.paged_attention.cases import Inputs
from tests.kernels.triton_harness import DEVICE

PADDING = 3
"""Entries of zeros behind each array, as a captured graph has them."""


def make_work(inputs: Inputs, tiling: Tiling, *, is_decode: bool, groups: bool = False) -> WorkList:
    """The work of a step whose rows are those of the page table."""
    metadata = inputs.metadata
    rows_R = np.arange(len(metadata.seq_lens), dtype=np.int32)
    seq_lens_R = np.asarray(metadata.seq_lens, dtype=np.int32)
    if not is_decode:
        offsets = np.asarray(metadata.run_offsets, dtype=np.int32)
        return chunk_work(rows_R, offsets, seq_lens_R, tiling, window=metadata.window)
    shared, begin_R = None, None
    if groups:
        found = find_groups(
            metadata.page_table_RP.numpy(),
            rows_R,
            seq_lens_R - np.int32(1),
            page_size=metadata.page_size,
            tile_keys=TILE_KEYS,
        )
        shared, begin_R = group_tiles(found, rows_R, tiling.tokens)
    return decode_work(
        rows_R,
        seq_lens_R,
        tiling,
        window=metadata.window,
        shared=shared,
        private_begin_R=begin_R,
    )


def on_device(work: WorkList, inputs: Inputs, tiling: Tiling, *, is_decode: bool) -> DeviceWork:
    """Padded arrays; memory of parts that holds NaN."""
    num_heads, dim = inputs.q_TND.shape[1:]
    group = num_heads // inputs.kv_layer.k_SKD.shape[1]
    arrays = (
        torch.from_numpy(np.concatenate((array, np.zeros((PADDING, *array.shape[1:]), np.int32))))
        for array in work
    )
    return DeviceWork(
        *(array.to(DEVICE) for array in arrays),
        torch.full((len(work.slot_tokens_S), num_heads, dim + 2), torch.nan, device=DEVICE),
        rows=max(16, next_power_of_2(tiling.tokens * group)),
        is_causal=not is_decode,
        window=inputs.metadata.window,
    )


def moved(kv_layer: KVLayer) -> KVLayer:
    """The layer on the device."""
    return KVLayer(*(None if tensor is None else tensor.to(DEVICE) for tensor in kv_layer))
