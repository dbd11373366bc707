"""Calls single CPU kernels, for tests: programs of one or two operations over small tensors."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from sglite.executors.forward_batch import AttentionMetadata
from sglite.kernels import cpu
from sglite.kvcache.groups import KVGroup
from sglite.kvcache.kv_pool import KVPool
from tests.model_harness import poison

BLOCK = 16
NUM_THREADS = 2


def extension() -> Any:
    """The compiled module; a machine without one cannot run these tests."""
    module = cpu.extension()
    if module is None:
        pytest.skip(f"{cpu.why_missing()}", allow_module_level=True)
    return module


def pack(weight: torch.Tensor, *, first: int = 0, step: int = 1, parts: int = 1) -> torch.Tensor:
    """``weight [N, K]`` in panels; of ``parts`` matrices whose panels alternate, the others 0."""
    outputs, inputs = weight.shape
    packed = torch.zeros(parts * -(-outputs // BLOCK) * BLOCK * inputs, dtype=weight.dtype)
    extension().pack(weight, packed, first, step, NUM_THREADS)
    return packed


class Attended(NamedTuple):
    """The result, and how many parts the queries were attended in beyond one each."""

    out_TND: torch.Tensor
    num_grouped: int


class PagedAttention:
    """A KV pool in blocks, every slot NaN until it is stored, and the two kernels that use it."""

    def __init__(
        self,
        instruction_set: str,
        *,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
        dtype: torch.dtype,
        num_pages: int,
        page_size: int,
        window: int | None = None,
        groups_prefixes: bool = True,
    ) -> None:
        self.shape = (num_heads, num_kv_heads, head_dim)
        self.page_size = page_size
        self.window = window
        self._options = (instruction_set, NUM_THREADS, [page_size], [window or 0], groups_prefixes)
        self.input_dtype = torch.float32
        if dtype == torch.bfloat16 and extension().best_x_type(instruction_set) == "bfloat16":
            self.input_dtype = torch.bfloat16
        self.pool = KVPool(
            [KVGroup("paged_full", (0,))],
            [num_pages],
            page_size=page_size,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            dtype=dtype,
            layout="block",
        )
        poison(self.pool)

    def store(self, k_TKD: torch.Tensor, v_TKD: torch.Tensor, slots: list[int]) -> None:
        """Write keys and values, not rotated, into their slots."""
        num_heads, _, head_dim = self.shape
        num_tokens = len(slots)
        q_TND = torch.zeros(num_tokens, num_heads, head_dim)
        qkv = torch.cat((q_TND, k_TKD.float(), v_TKD.float()), dim=1).contiguous()
        program = self._program()
        self._add_rotate(program, qkv, torch.zeros(q_TND.shape, dtype=self.input_dtype), scale=1.0)
        offsets, lengths = [0, num_tokens], [num_tokens]
        table = np.zeros((1, -(-num_tokens // self.page_size)), dtype=np.int32)
        self._replay(program, offsets, lengths, table, slots)

    def attend(
        self,
        q_TND: torch.Tensor,
        metadata: AttentionMetadata,
        scale: float,
        softcap: float | None = None,
    ) -> Attended:
        """Attention of queries whose keys and values were all stored: ``[T, N, D]``."""
        q_TND = (q_TND.float() * scale).to(self.input_dtype)
        out_TND = torch.full_like(q_TND, torch.nan)
        program = self._program()
        program.attend(q_TND, out_TND, *self.pool.blocks(0), *self.shape, 0, softcap or 0.0)
        table = metadata.page_table_RP.numpy()
        slots = metadata.out_slots_T.tolist()
        self._replay(program, metadata.run_offsets, metadata.seq_lens, table, slots)
        return Attended(out_TND, program.num_grouped_tokens())

    def stored(self, slots: list[int]) -> list[torch.Tensor]:
        """Of a pool of bytes: what is stored of K and V ``[S, K, D]``, then scales ``[S, K]``."""
        head_dim = self.shape[2]
        size = BLOCK * head_dim
        k_BKX, v_BKX = self.pool.blocks(0)
        k_BKDS = k_BKX[..., :size].unflatten(2, (head_dim, BLOCK))
        v_BKSD = v_BKX[..., :size].unflatten(2, (BLOCK, head_dim))
        parts = [k_BKDS.permute(0, 3, 1, 2), v_BKSD.permute(0, 2, 1, 3)]
        if self.pool.dtype == torch.int8:
            tails = (x_BKX[..., size:].contiguous() for x_BKX in (k_BKX, v_BKX))
            parts += [tail.view(torch.float32).permute(0, 2, 1) for tail in tails]
        return [part.flatten(0, 1)[slots] for part in parts]

    def _program(self) -> Any:
        return extension().Program(*self._options)

    def _add_rotate(
        self, program: Any, qkv: torch.Tensor, q: torch.Tensor, *, scale: float
    ) -> None:
        program.rotate(qkv, q, *self.pool.blocks(0), None, None, *self.shape, 1e-6, scale, 0)

    def _replay(
        self,
        program: Any,
        offsets: list[int],
        lengths: list[int],
        table: np.ndarray[Any, Any],
        slots: list[int],
    ) -> None:
        num_tokens, head_dim = offsets[-1], self.shape[2]
        unrotated = np.concatenate((np.ones(head_dim // 2), np.zeros(head_dim // 2)))
        program.replay(
            np.zeros(num_tokens, dtype=np.int64),
            unrotated.astype(np.float32)[None],
            np.zeros(num_tokens, dtype=np.int32),
            np.asarray(offsets, dtype=np.int32),
            np.asarray(lengths, dtype=np.int32),
            [table],
            [np.asarray(slots, dtype=np.int64)],
            np.empty(0, dtype=np.int32),
        )
