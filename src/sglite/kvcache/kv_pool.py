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

SCALE_BYTES = 4
"""Of the float32 that the keys, or values, of one token and head share in an int8 pool."""

KV_DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.int8,
    "fp8_e4m3": torch.float8_e4m3fn,
}


def resolve_kv_dtype(option: str, natural: torch.dtype) -> torch.dtype:
    """The pool's type for a value of the option ``kv_cache_dtype``; ``auto`` is ``natural``."""
    return natural if option == "auto" else KV_DTYPES[option]


def kv_dtype_name(dtype: torch.dtype) -> str:
    """As the option ``kv_cache_dtype`` calls it; torch's name where it has none for it."""
    names = {dtype: name for name, dtype in KV_DTYPES.items()}
    return names.get(dtype, str(dtype).removeprefix("torch."))


def row_bytes(dtype: torch.dtype, head_dim: int) -> int:
    """Bytes of the keys, or values, of one token and head. With int8 the scale is among them."""
    if dtype == torch.int8:
        return -(-head_dim // SCALE_BYTES) * SCALE_BYTES + SCALE_BYTES
    return head_dim * dtype.itemsize


def layers_held(group: KVGroup, layers: range | None) -> tuple[int, ...]:
    """The layers of ``group`` that are among ``layers``; None: all of them."""
    return tuple(layer for layer in group.layers if layers is None or layer in layers)


class KVLayer(NamedTuple):
    """Keys and values of one layer, as views into the pool.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | k_SKD | [S, K, D] | the pool's | rotated keys; row ``page_id * page_size + offset`` |
    | v_SKD | [S, K, D] | the pool's | values, same rows |
    | k_scale_SK | [S, K] | float32 | with int8: what the keys are multiplied by; else None |
    | v_scale_SK | [S, K] | float32 | the same of the values |
    """

    k_SKD: torch.Tensor
    v_SKD: torch.Tensor
    k_scale_SK: torch.Tensor | None = None
    v_scale_SK: torch.Tensor | None = None


class KVBlocks(NamedTuple):
    """Keys and values of one layer in the block layout, as views into the pool.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | k_BKX | [B, K, 16 x row] | the pool's | a block's keys by head, in the kernels' own order |
    | v_BKX | [B, K, 16 x row] | the pool's | values, same blocks |

    A page is ``page_size / 16`` blocks. What is in a block: ``kernels/cpu/kv_block.h``. Floats of
    8 bits are uint8 here, which every array library knows.
    """

    k_BKX: torch.Tensor
    v_BKX: torch.Tensor


class KVPool:
    """K and V of all layers, one tensor per KV group, zero at the start.

    | layout | shape of ``storage[group]`` | who fills it |
    |---|---|---|
    | token | [layers, 2, pages, page_size, K, row] | ``attention`` |
    | block | [layers, 2, pages, page_size / 16, K, 16 x row] | the compiled CPU kernels |

    Index 0 of the second dimension is K, 1 is V. ``num_pages`` has one entry per group.
    ``num_kv_heads`` counts the heads of this rank. A row is D numbers; of int8, and behind them the
    bytes of their scale (of all 16 in a block). Whatever layout and type, a page is one contiguous
    piece per layer, so pages are copied without knowing them (``kernels/page_copy``).

    With ``layers`` only those of the groups' layers have storage here, the rest is other ranks'.

    With ``has_spare_page`` there is one page more in every group, behind those that the allocators
    know: tokens that pad a batch are written there (:meth:`spare_page`).
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
        has_spare_page: bool = False,
        layers: range | None = None,
    ) -> None:
        assert len(groups) == len(num_pages), f"{len(num_pages)} sizes for {len(groups)} groups"
        self.groups = tuple(groups)
        self.num_pages = tuple(num_pages)
        self.page_size = page_size
        self.layout = layout
        self.head_dim = head_dim
        self.dtype = dtype
        row = row_bytes(dtype, head_dim) // dtype.itemsize
        tail = (page_size, num_kv_heads, row)
        if layout == "block":
            assert page_size % BLOCK_TOKENS == 0, f"pages of {page_size} are not whole blocks"
            tail = (page_size // BLOCK_TOKENS, num_kv_heads, BLOCK_TOKENS * row)
        held = [layers_held(group, layers) for group in self.groups]
        self.storage = [
            _zeros((len(held_here), 2, pages + has_spare_page, *tail), dtype, torch.device(device))
            for held_here, pages in zip(held, self.num_pages, strict=True)
        ]
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        for held_here, storage in zip(held, self.storage, strict=True):
            for index, layer in enumerate(held_here):
                k, v = storage[index].flatten(1, 2)
                self._layers[layer] = (k, v)

    def layer(self, layer: int) -> KVLayer:
        """The views of model layer ``layer``, in the token layout."""
        assert self.layout == "token", self.layout
        k_SKX, v_SKX = self._layers[layer]
        if self.dtype != torch.int8:
            return KVLayer(k_SKX, v_SKX)
        return KVLayer(
            k_SKX[..., : self.head_dim],
            v_SKX[..., : self.head_dim],
            k_SKX[..., -SCALE_BYTES:].view(torch.float32)[..., 0],
            v_SKX[..., -SCALE_BYTES:].view(torch.float32)[..., 0],
        )

    def blocks(self, layer: int) -> KVBlocks:
        """The views of model layer ``layer``, in the block layout."""
        assert self.layout == "block", self.layout
        k_BKX, v_BKX = self._layers[layer]
        if self.dtype == torch.float8_e4m3fn:
            return KVBlocks(k_BKX.view(torch.uint8), v_BKX.view(torch.uint8))
        return KVBlocks(k_BKX, v_BKX)

    def spare_page(self, group: int) -> int:
        """The page of ``group`` that belongs to nobody."""
        assert self.storage[group].shape[2] > self.num_pages[group], "made without a spare page"
        return self.num_pages[group]

    @property
    def num_bytes(self) -> int:
        """Bytes of all groups together."""
        return sum(storage.nbytes for storage in self.storage)

    @staticmethod
    def bytes_per_page(
        group: KVGroup,
        *,
        page_size: int,
        num_kv_heads: int,
        head_dim: int,
        dtype: torch.dtype,
        layers: range | None = None,
    ) -> int:
        """Bytes that one page of ``group`` takes in all of its layers that are here, K and V."""
        num_layers = len(layers_held(group, layers))
        return num_layers * 2 * page_size * num_kv_heads * row_bytes(dtype, head_dim)


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    if device.type == "cpu":
        return lazy_zeros(shape, dtype)
    return torch.zeros(shape, dtype=dtype, device=device)
