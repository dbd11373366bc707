"""Ranks of one machine that exchange CPU tensors through memory that all of them have mapped.

A step of a model needs two sums per layer. Through sockets each of them wakes several threads of
every rank; here a rank writes, and reads what the others wrote, while all of them are running
(``kernels/cpu/shared_ranks.h``). It needs the compiled CPU kernels, and Linux.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sglite.distributed.torch_group import TorchRankGroup
from sglite.kernels import cpu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch._C._distributed_c10d import Store

DIRECTORY = Path("/dev/shm")
KEY = "memory"


class SharedMemoryGroup(TorchRankGroup):
    """As its base; sums, gathers and broadcasts of CPU tensors go through ``memory``.

    ``memory`` is as large as :func:`memory_bytes` says, zeros at first, and the same on all ranks.
    """

    def __init__(self, group: Any, *, timeout_s: float, memory: mmap.mmap) -> None:
        super().__init__(group, timeout_s=timeout_s)
        extension = cpu.extension()
        assert extension is not None, cpu.why_missing()
        self._shared = extension.SharedRanks(memory, self.rank, self.size, timeout_s)

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        """See the base; float32 and int64 are added in the order of the ranks."""
        if tensor.dtype not in (torch.float32, torch.int64):
            return super().all_reduce(tensor)
        assert tensor.is_contiguous(), "a view with gaps"
        with self._lost_ranks("all_reduce"):
            self._shared.all_reduce(tensor)
        return tensor

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """See the base."""
        *outer, width = tensor.shape
        rows = tensor.reshape(math.prod(outer), width).contiguous()
        joined = rows.new_empty(len(rows), self.size * width) if self.rank == 0 else None
        with self._lost_ranks("gather"):
            self._shared.gather(rows, joined)
        return tensor if joined is None else joined.view(*outer, self.size * width)

    def broadcast(self, tensor: torch.Tensor, source: int = 0) -> torch.Tensor:
        """See the base."""
        assert tensor.is_contiguous(), "a view with gaps"
        with self._lost_ranks("broadcast"):
            self._shared.broadcast(tensor, source)
        return tensor

    def gather_tokens(self, hidden_TE: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
        """See the base."""
        assert len(hidden_TE) == counts[self.rank], f"{len(hidden_TE)} tokens, told {counts}"
        all_TE = hidden_TE.new_empty(sum(counts), *hidden_TE.shape[1:])
        parts = torch.split(all_TE, list(counts))
        parts[self.rank].copy_(hidden_TE)
        with self._lost_ranks("gather_tokens"):
            for rank, part in enumerate(parts):
                self._shared.broadcast(part, rank)
        return all_TE

    def scatter_sums(self, hidden_TE: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
        """See the base."""
        assert hidden_TE.is_contiguous() and len(hidden_TE) == sum(counts), "not what was gathered"
        return torch.split(self.all_reduce(hidden_TE), list(counts))[self.rank]


def memory_bytes(num_ranks: int) -> int:
    """Memory that so many ranks share; 0 where they cannot share any."""
    shared = getattr(cpu.extension(), "SharedRanks", None)  # not there in an older build either
    if shared is None or not DIRECTORY.is_dir():
        return 0
    return int(shared.region_bytes(num_ranks))


def try_share_memory(group: TorchRankGroup, store: Store) -> mmap.mmap | None:
    """Memory that all ranks of ``group`` have mapped; None, on all of them, where one cannot.

    Rank 0 makes a file and says in ``store`` where; it is gone from its directory when this
    returns, and from the machine with the last rank.
    """
    memory, path = None, None
    with suppress(OSError):
        if group.rank == 0:
            path = _make_file(memory_bytes(group.size))
    if group.rank == 0:
        store.set(KEY, "" if path is None else os.fspath(path))
    else:
        name = store.get(KEY).decode()
        path = Path(name) if name else None
    if path is not None:
        with suppress(OSError, ValueError):
            memory = _map(path)
    num_mapped = int(group.all_reduce(torch.tensor([int(memory is not None)])))
    if group.rank == 0 and path is not None:
        path.unlink(missing_ok=True)
    return memory if num_mapped == group.size else None


def _make_file(num_bytes: int) -> Path | None:
    if num_bytes == 0:
        return None
    handle, name = tempfile.mkstemp(prefix="sglite-ranks-", dir=DIRECTORY)
    try:
        # Taken now: a write to memory that is not there would end the process.
        os.posix_fallocate(handle, 0, num_bytes)
    except OSError:
        Path(name).unlink()
        raise
    finally:
        os.close(handle)
    return Path(name)


def _map(path: Path) -> mmap.mmap:
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)
