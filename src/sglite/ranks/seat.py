"""One rank's place among the others, and what follows from it for its share of the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from sglite.config import EngineConfig
from sglite.config_values import device_type
from sglite.distributed.layout import RankLayout
from sglite.distributed.open_groups import (
    RankGroups,
    open_file_store,
    open_groups,
    open_tcp_store,
)
from sglite.errors import ConfigError
from sglite.executors.stage_executor import StageLinks
from sglite.executors.step_agreement import StepAgreement
from sglite.host.share import HostShare
from sglite.models.layers.parallel import ModelShare
from sglite.ranks.socket_channel import read_address


@dataclass(frozen=True, slots=True)
class Seat:
    """Rank ``rank`` of ``layout``, in its ``groups``."""

    layout: RankLayout
    rank: int
    groups: RankGroups

    @property
    def drawing_rank(self) -> int:
        """The rank that draws tokens, the first of the last stage. Lanes draw their own."""
        return self.layout.ranks_of_stage(self.layout.pp_size - 1)[0]

    @property
    def draws(self) -> bool:
        """True for a rank that draws tokens."""
        return self.layout.num_lanes > 1 or self.rank == self.drawing_rank

    def model_share(self, num_layers: int) -> ModelShare:
        """What the rank holds of a model of so many layers."""
        return ModelShare.of(self.layout, self.rank, num_layers, self.groups.stage)

    def agreement(self, max_rows: int, device: torch.device) -> StepAgreement:
        """How the rank's steps are joined with those of the others of its stage."""
        is_last = self.layout.stage(self.rank) == self.layout.pp_size - 1
        drawing_rank = 0 if is_last else None
        return StepAgreement(
            self.groups.stage, max_rows=max_rows, device=device, drawing_rank=drawing_rank
        )

    def stage_links(self) -> StageLinks:
        """The rank's neighbours in the stages before and behind its own."""
        assert self.groups.ranks is not None, "a pipeline has several ranks"
        previous, following = self.rank - self.layout.tp_size, self.rank + self.layout.tp_size
        return StageLinks(
            self.groups.ranks,
            previous if previous >= 0 else None,
            following if following < self.layout.num_ranks else None,
            self.layout.pp_size,
        )


@dataclass(frozen=True, slots=True)
class MeetingPlace:
    """Where ranks find each other: a file that all can reach, None: a store of the network.

    ``interface`` is this machine's, towards the others.
    """

    store_path: str | None = None
    interface: str | None = None


def host_share(layout: RankLayout, rank: int, engine: HostShare) -> HostShare:
    """The rank's part of its machine, of which its engine has ``engine``."""
    return engine.part(rank % layout.ranks_per_node, layout.ranks_per_node)


def device_of(config: EngineConfig, layout: RankLayout, rank: int) -> str:
    """Where the rank computes: the GPU with its number among those of its machine, or the CPU."""
    if device_type(config.device) != "cuda":
        return config.device
    first = int(config.device.partition(":")[2] or 0)
    return f"cuda:{first + rank % layout.ranks_per_node}"


def take_seat(config: EngineConfig, layout: RankLayout, rank: int, place: MeetingPlace) -> Seat:
    """Meet all other ranks. RankLostError where one does not come in time.

    ConfigError where this machine has no GPU for this rank.
    """
    kind, timeout_s = device_type(config.device), config.dist_timeout_s
    if kind == "cuda":
        device, num_gpus = device_of(config, layout, rank), torch.cuda.device_count()
        if int(device.partition(":")[2]) >= num_gpus:
            raise ConfigError(
                f"rank {rank} is to compute on {device}, and this machine has {num_gpus} GPUs; "
                "lower tp_size, or divide the ranks among more machines (nnodes)"
            )
        torch.cuda.set_device(device)
    if place.store_path is not None:
        store = open_file_store(Path(place.store_path), layout.num_ranks, timeout_s=timeout_s)
    else:
        host, port = read_address(config)
        store = open_tcp_store(
            host, port + 1, layout.num_ranks, is_host=rank == 0, timeout_s=timeout_s
        )
    groups = open_groups(
        layout,
        rank,
        store,
        device_type=kind,
        timeout_s=timeout_s,
        interface=place.interface,
    )
    return Seat(layout, rank, groups)
