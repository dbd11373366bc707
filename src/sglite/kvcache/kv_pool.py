"""The tensors that hold the keys and values of every token in the cache.

Pages are addressed by id; who owns which page is the business of ``page_allocator``.
Shape legend: S slots (pages x page_size), K KV heads, D head dim. See docs/shapes.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch

from sglite.kvcache.groups import KVGroup
from sglite.kvcache.host_memory import lazy_zeros

BLOCK_TOKENS = 16
"""Tokens whose keys, and values, lie together in the block layout."""

KVLayout = Literal["token", "block"]


class KVLayer(NamedTuple):
    """Keys and values of one layer, as views into the pool.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | k_SKD | [S, K, D] | the pool's | rotated keys; row ``page_id * page_size + offset`` |
    | v_SKD | [S, K, D] | the pool's | values, same rows |
    """

    k_SKD: torch.Tensor
    v_SKD: torch.Tensor


class KVBlocks(NamedTuple):
    """Keys and values of one layer in the block layout, as views into the pool.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | k_BKX | [B, K, 16 x D] | the pool's | a block's keys by head, in the kernels' own order |
    | v_BKX | [B, K, 16 x D] | the pool's | values, same blocks |

    A page is ``page_size / 16`` blocks. What is in a block: ``kernels/cpu/rows.h``.
    """

    k_BKX: torch.Tensor
    v_BKX: torch.Tensor


class KVPool:
    """K and V of all layers, one tensor per KV group, zero at the start.

    | layout | shape of ``storage[group]`` | who fills it |
    |---|---|---|
    | token | [layers, 2, pages, page_size, K, D] | ``attention`` |
    | block | [layers, 2, pages, page_size / 16, K, 16 x D] | the compiled CPU kernels |

    Index 0 of the second dimension is K, 1 is V. ``num_pages`` has one entry per group.
    ``num_kv_heads`` counts the heads of this rank. Whatever the layout, a page is one contiguous
    piece per layer, so pages are copied without knowing it.
    """

    def __init__(
        self,
        groups: Sequence[KVGroup],
        num_pages: Sequence[int],
        *,
        page_size: int,
        num_kv_heads: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
        layout: KVLayout = "token",
    ) -> None:
        assert len(groups) == len(num_pages), f"{len(num_pages)} sizes for {len(groups)} groups"
        self.groups = tuple(groups)
        self.num_pages = tuple(num_pages)
        self.page_size = page_size
        self.layout = layout
        tail = (page_size, num_kv_heads, head_dim)
        if layout == "block":
            assert page_size % BLOCK_TOKENS == 0, f"pages of {page_size} are not whole blocks"
            tail = (page_size // BLOCK_TOKENS, num_kv_heads, BLOCK_TOKENS * head_dim)
        self.storage = [
            _zeros((len(group.layers), 2, pages, *tail), dtype, torch.device(device))
            for group, pages in zip(self.groups, self.num_pages, strict=True)
        ]
        self._layers = self._make_layers()

    def _make_layers(self) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
        layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        for group, storage in zip(self.groups, self.storage, strict=True):
            for index, layer in enumerate(group.layers):
                k, v = storage[index].flatten(1, 2)
                layers[layer] = (k, v)
        return layers

    def layer(self, layer: int) -> KVLayer:
        """The views of model layer ``layer``, in the token layout."""
        assert self.layout == "token", self.layout
        return KVLayer(*self._layers[layer])

    def blocks(self, layer: int) -> KVBlocks:
        """The views of model layer ``layer``, in the block layout."""
        assert self.layout == "block", self.layout
        return KVBlocks(*self._layers[layer])

    @property
    def num_bytes(self) -> int:
        """Bytes of all groups together."""
        return sum(storage.nbytes for storage in self.storage)

    @staticmethod
    def bytes_per_page(
        group: KVGroup, *, page_size: int, num_kv_heads: int, head_dim: int, dtype: torch.dtype
    ) -> int:
        """Bytes that one page of ``group`` takes in all of the group's layers, K and V."""
        return len(group.layers) * 2 * page_size * num_kv_heads * head_dim * dtype.itemsize

    def copy_pages(self, group: int, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Copy whole pages of one group in all of its layers; targets must differ from sources."""
        assert len(sources) == len(targets), f"{len(sources)} sources, {len(targets)} targets"
        assert not set(sources) & set(targets), "a page is both copied and overwritten"
        if not sources:
            return
        storage = self.storage[group]
        source_ids = torch.tensor(sources, dtype=torch.int64, device=storage.device)
        target_ids = torch.tensor(targets, dtype=torch.int64, device=storage.device)
        storage.index_copy_(2, target_ids, storage.index_select(2, source_ids))


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    if device.type == "cpu":
        return lazy_zeros(shape, dtype)
    return torch.zeros(shape, dtype=dtype, device=device)
