"""Where the ranks of an engine find each other, and the groups that they form."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

# torch.distributed has these too, but not for type checkers.
from torch._C._distributed_c10d import FileStore, PrefixStore, Store, TCPStore

from sglite.distributed.layout import RankLayout
from sglite.distributed.shared_memory_group import SharedMemoryGroup, try_share_memory
from sglite.distributed.torch_group import TorchRankGroup, first_sentence
from sglite.errors import ConfigError, RankLostError

LOOPBACK_INTERFACE = "lo"
LOOPBACK_ADDRESS = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class RankGroups:
    """``ranks``: all of the engine, by their numbers; ``stage``: those of this rank's stage.

    A group of one is None. With one stage both are the same.
    """

    ranks: TorchRankGroup | None = None
    stage: TorchRankGroup | None = None


def open_file_store(path: Path, num_ranks: int, *, timeout_s: float) -> Store:
    """Where the ranks of one machine meet: a file in a directory that only they can reach."""
    store = FileStore(os.fspath(path), num_ranks)
    store.set_timeout(timedelta(seconds=timeout_s))
    return store


def open_tcp_store(
    host: str, port: int, num_ranks: int, *, is_host: bool, timeout_s: float
) -> Store:
    """Where the ranks of several machines meet: ``is_host`` for rank 0 alone, which listens there.

    ConfigError where rank 0 cannot, RankLostError where nobody listens.
    """
    try:
        return TCPStore(
            host,
            port,
            num_ranks,
            is_master=is_host,
            timeout=timedelta(seconds=timeout_s),
            wait_for_workers=False,
        )
    except (RuntimeError, OSError) as error:
        cause = first_sentence(error)
        if is_host:
            raise ConfigError(
                f"dist_init_addr: the port after it ({port}) is for torch's store, and cannot be "
                f"listened at: {cause}. Is it another server's? Give another port, as in "
                "HOST:29500."
            ) from error
        raise RankLostError(
            f"no store at {host}:{port} within {timeout_s:g} s (dist_timeout_s): {cause}"
        ) from error


def open_groups(
    layout: RankLayout,
    rank: int,
    store: Store,
    *,
    device_type: str = "cpu",
    timeout_s: float,
    interface: str | None = None,
) -> RankGroups:
    """The groups of ``rank``; returns when all ranks have come. All of an engine call it at once.

    ``interface`` is the network that gloo uses between machines, None: the one that this host's
    name stands for; on one machine it is always the loopback. With ``device_type`` "cuda" the
    current device is the rank's own.
    RankLostError where a rank does not come within ``timeout_s``.
    """
    if layout.num_ranks == 1:
        return RankGroups()
    open_one = _open_nccl if device_type == "cuda" else _open_gloo
    is_local = layout.num_nodes == 1

    def join(name: str, members: list[int]) -> TorchRankGroup | None:
        if len(members) == 1:
            return None
        place = PrefixStore(name, store)
        place.set_timeout(timedelta(seconds=timeout_s))
        try:
            network = LOOPBACK_INTERFACE if is_local else interface
            group = open_one(place, members.index(rank), len(members), timeout_s, network)
        except RuntimeError as error:
            cause = first_sentence(error)
            raise RankLostError(
                f"rank {rank}: not all of the ranks {members} came within {timeout_s:g} s"
                f" (dist_timeout_s): {cause}"
            ) from error
        plain = TorchRankGroup(group, timeout_s=timeout_s)
        memory = try_share_memory(plain, place) if is_local and device_type == "cpu" else None
        if memory is None:
            return plain
        return SharedMemoryGroup(group, timeout_s=timeout_s, memory=memory)

    ranks = join("ranks", list(range(layout.num_ranks)))
    if layout.pp_size == 1:
        return RankGroups(ranks, ranks)
    stage = layout.stage(rank)
    return RankGroups(ranks, join(f"stage{stage}", layout.ranks_of_stage(stage)))


def _open_gloo(store: Store, rank: int, size: int, timeout_s: float, interface: str | None) -> Any:
    options = dist.ProcessGroupGloo._Options()  # type: ignore[attr-defined]
    options._timeout = timedelta(seconds=timeout_s)
    options._threads = 1  # as we wait for each call before the next
    options._devices = [_gloo_device(interface)]
    return dist.ProcessGroupGloo(store, rank, size, options)


def _gloo_device(interface: str | None) -> dist.ProcessGroupGloo.Device:
    if interface is None:
        return dist.ProcessGroupGloo.create_default_device()
    if interface == LOOPBACK_INTERFACE and sys.platform != "linux":
        return dist.ProcessGroupGloo.create_device(hostname=LOOPBACK_ADDRESS)
    return dist.ProcessGroupGloo.create_device(interface=interface)


def _open_nccl(store: Store, rank: int, size: int, timeout_s: float, interface: str | None) -> Any:
    options = dist.ProcessGroupNCCL.Options()
    options._timeout = timedelta(seconds=timeout_s)
    group: Any = dist.ProcessGroupNCCL(store, rank, size, options)
    # Communicators are made at the first call, which must not be in a graph's capture.
    first = torch.zeros(1, device="cuda")
    group.allreduce([first], dist.AllreduceOptions()).wait()
    torch.cuda.current_stream().synchronize()
    return group
