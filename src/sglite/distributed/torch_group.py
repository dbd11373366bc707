"""Ranks that exchange tensors over a process group of torch: gloo for CPU tensors, NCCL for CUDA.

The groups are raw ones: there is no default group, and nothing is ever pickled.

On a CPU each call is done when it returns, but for :meth:`TorchRankGroup.send`. On a GPU a call
enqueues work on the current stream and returns; a rank that is late holds up the stream, and NCCL's
watchdog ends the process when the group's timeout has passed.

Shape legend: T tokens packed, E hidden. See docs/shapes.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import distributed as dist

from sglite.errors import RankLostError


def first_sentence(error: BaseException) -> str:
    """What torch says of ``error``, without the place in its sources and its advice."""
    text = str(error).split("\n", 1)[0]
    if text.startswith("["):
        text = text.partition("] ")[2] or text
    return text.split(". ", 1)[0][:200]


class Work(Protocol):
    """What a process group gives for a call that it has begun."""

    def wait(self) -> bool:
        """Until it is done, or the stream waits for it."""


class TorchRankGroup:
    """The ranks of ``group``, a raw process group whose calls take at most ``timeout_s``.

    RankLostError where one is later or has gone; the group is of no use any more then.
    Implements ``RankGroup`` of ``models/layers/parallel``.
    """

    def __init__(self, group: Any, *, timeout_s: float) -> None:
        self._group = group
        self._timeout_s = timeout_s
        self._sent: dict[int, tuple[Work, torch.Tensor]] = {}

    @property
    def rank(self) -> int:
        """Our place in the group, from 0."""
        rank: int = self._group.rank()
        return rank

    @property
    def size(self) -> int:
        """Ranks in the group, ourselves among them."""
        size: int = self._group.size()
        return size

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over ranks, in place, the same bits everywhere; returns ``tensor``."""
        assert tensor.is_contiguous(), "a view with gaps"
        if tensor.numel():
            options = dist.AllreduceOptions()  # a sum, unless told otherwise
            self._do("all_reduce", lambda: [self._group.allreduce([tensor], options)])
        return tensor

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """At rank 0 the ranks' tensors, all of one shape, joined along the last dimension;
        elsewhere ``tensor``."""
        tensor = tensor.contiguous()
        parts = [torch.empty_like(tensor) for _ in range(0 if self.rank else self.size)]
        if tensor.numel():
            options = dist.GatherOptions()
            options.rootRank = 0
            outputs = [parts] if parts else []
            self._do("gather", lambda: [self._group.gather(outputs, [tensor], options)])
        return torch.cat(parts, dim=-1) if parts else tensor

    def broadcast(self, tensor: torch.Tensor, source: int = 0) -> torch.Tensor:
        """What rank ``source`` has, in place; returns ``tensor``, which must be contiguous."""
        assert tensor.is_contiguous(), "a view with gaps"
        if tensor.numel():
            self._do("broadcast", lambda: [self._begin_broadcast(tensor, source)])
        return tensor

    def send(self, tensor: torch.Tensor, to: int) -> None:
        """Hand ``tensor`` to rank ``to``, which receives one of the same shape and dtype.

        Does not wait for the receiver; ``tensor`` must stay as it is until our next call to that
        rank, which waits until this one has been received.
        """
        self._finish_sending(to)
        if tensor.numel():
            tensor = tensor.contiguous()
            with self._lost_ranks(f"send to rank {to}"):
                self._sent[to] = self._group.send([tensor], to, 0), tensor

    def receive(self, tensor: torch.Tensor, source: int) -> torch.Tensor:
        """Fill ``tensor``, which must be contiguous, with what ``source`` sends; returns it."""
        assert tensor.is_contiguous(), "a view with gaps"
        if tensor.numel():
            name = f"receive from rank {source}"
            self._do(name, lambda: [self._group.recv([tensor], source, 0)])
        return tensor

    def finish_sending(self) -> None:
        """Wait until all that we sent has been received; to be called before the group goes."""
        for to in list(self._sent):
            self._finish_sending(to)

    def gather_tokens(self, hidden_TE: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
        """The tokens of all ranks, one after the other, ``[sum(counts), E]``; nothing is padded."""
        assert len(hidden_TE) == counts[self.rank], f"{len(hidden_TE)} tokens, told {counts}"
        all_TE = hidden_TE.new_empty(sum(counts), *hidden_TE.shape[1:])
        parts = torch.split(all_TE, list(counts))
        parts[self.rank].copy_(hidden_TE)
        filled = [(rank, part) for rank, part in enumerate(parts) if len(part)]
        self._do(
            "gather_tokens", lambda: [self._begin_broadcast(part, rank) for rank, part in filled]
        )
        return all_TE

    def scatter_sums(self, hidden_TE: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
        """The sum over ranks of what :meth:`gather_tokens` joined; our own tokens' part of it.

        ``hidden_TE`` must be contiguous, and is of no use afterwards.
        """
        assert hidden_TE.is_contiguous() and len(hidden_TE) == sum(counts), "not what was gathered"
        parts = torch.split(hidden_TE, list(counts))
        filled = [(rank, part) for rank, part in enumerate(parts) if len(part)]
        self._do("scatter_sums", lambda: [self._begin_reduce(part, rank) for rank, part in filled])
        return parts[self.rank]

    def _begin_broadcast(self, tensor: torch.Tensor, source: int) -> Work:
        options = dist.BroadcastOptions()
        options.rootRank = source
        options.rootTensor = 0
        work: Work = self._group.broadcast([tensor], options)
        return work

    def _begin_reduce(self, tensor: torch.Tensor, target: int) -> Work:
        options = dist.ReduceOptions()
        options.rootRank = target
        options.rootTensor = 0
        work: Work = self._group.reduce([tensor], options)
        return work

    def _finish_sending(self, to: int) -> None:
        if to in self._sent:
            with self._lost_ranks(f"send to rank {to}"):
                self._sent.pop(to)[0].wait()

    def _do(self, name: str, begin: Callable[[], list[Work]]) -> None:
        with self._lost_ranks(name):
            for work in begin():
                work.wait()

    @contextmanager
    def _lost_ranks(self, name: str) -> Iterator[None]:
        """What the group raises becomes a RankLostError that names the operation."""
        started_s = time.monotonic()
        try:
            yield
        except RuntimeError as error:
            waited_s = time.monotonic() - started_s
            cause = first_sentence(error)
            raise RankLostError(
                f"rank {self.rank} of {self.size} lost another in {name}, after {waited_s:.1f} s"
                f" (dist_timeout_s is {self._timeout_s:g}): {cause}"
            ) from error
