"""Write the keys and values of new tokens into their slots of the KV pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from sglite.kvcache.kv_pool import KVLayer


def store_kv(
    k_TKD: torch.Tensor, v_TKD: torch.Tensor, kv_layer: KVLayer, out_slots_T: torch.Tensor
) -> None:
    """``k_SKD[out_slots_T] = k_TKD``, likewise v. Slots are distinct (int64)."""
    kv_layer.k_SKD.index_copy_(0, out_slots_T, k_TKD)
    kv_layer.v_SKD.index_copy_(0, out_slots_T, v_TKD)
