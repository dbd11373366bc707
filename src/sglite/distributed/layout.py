"""Which rank of an engine holds what.

Ranks are numbered stage by stage, and along the tensor-parallel group within a stage:

    --tp 2 --pp 2      stage 0: ranks 0, 1      stage 1: ranks 2, 3
    --nnodes 2         machine 0: ranks 0, 1    machine 1: ranks 2, 3

Rank 0 is the engine's own process: it schedules, and its plan is what all carry out. Results are
drawn by the first rank of the last stage. With DP-attention every rank of the one stage is a *lane*
of its own: it has its own requests and draws for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sglite.config_parallel import ParallelOptions
from sglite.errors import ConfigError


@dataclass(frozen=True, slots=True)
class RankLayout:
    """The ranks of one engine. ``num_lanes`` is 1 without DP-attention, then ``tp_size``."""

    tp_size: int = 1
    pp_size: int = 1
    num_lanes: int = 1
    num_nodes: int = 1

    @classmethod
    def of(cls, options: ParallelOptions) -> RankLayout:
        """The layout that the options ask for. ConfigError where they do not fit together."""
        _check_lanes(options)
        layout = cls(
            options.tp_size,
            options.pp_size,
            options.dp_size if options.enable_dp_attention else 1,
            options.nnodes,
        )
        _check_nodes(options, layout.num_ranks)
        return layout

    @property
    def num_ranks(self) -> int:
        """Processes of the engine, on all machines."""
        return self.tp_size * self.pp_size

    @property
    def ranks_per_node(self) -> int:
        """Consecutive ranks that one machine has."""
        return self.num_ranks // self.num_nodes

    def stage(self, rank: int) -> int:
        """The pipeline stage of ``rank``."""
        return rank // self.tp_size

    def tp_rank(self, rank: int) -> int:
        """The place of ``rank`` in its stage."""
        return rank % self.tp_size

    def node(self, rank: int) -> int:
        """The machine of ``rank``."""
        return rank // self.ranks_per_node

    def ranks_of_stage(self, stage: int) -> list[int]:
        """The tensor-parallel group of a stage."""
        return list(range(stage * self.tp_size, (stage + 1) * self.tp_size))

    def ranks_of_node(self, node: int) -> list[int]:
        """The ranks that machine ``node`` starts; rank 0 is among machine 0's."""
        return list(range(node * self.ranks_per_node, (node + 1) * self.ranks_per_node))

    def layers_of_stage(self, stage: int, num_layers: int) -> range:
        """The layers that ``stage`` computes: as even as can be, the later ones get the rest less.

        ConfigError where there are more stages than layers.
        """
        if num_layers < self.pp_size:
            raise ConfigError(
                f"pp_size {self.pp_size} is more than the model's {num_layers} layers; give at "
                f"most {num_layers}"
            )
        share, rest = divmod(num_layers, self.pp_size)
        first = stage * share + min(stage, rest)
        return range(first, first + share + (stage < rest))


def _check_lanes(options: ParallelOptions) -> None:
    if not options.enable_dp_attention:
        return
    if options.pp_size > 1:
        raise ConfigError(
            f"enable_dp_attention is for one stage, and pp_size is {options.pp_size}; give 1"
        )
    if options.dp_size != options.tp_size or options.tp_size < 2:
        raise ConfigError(
            f"enable_dp_attention needs as many parts as ranks, and at least 2: dp_size is "
            f"{options.dp_size}, tp_size {options.tp_size}; give both the same number"
        )


def _check_nodes(options: ParallelOptions, num_ranks: int) -> None:
    if options.node_rank >= options.nnodes:
        raise ConfigError(
            f"node_rank is {options.node_rank}; with nnodes {options.nnodes} it is at most "
            f"{options.nnodes - 1}"
        )
    if options.nnodes == 1:
        return
    if num_ranks % options.nnodes:
        raise ConfigError(
            f"nnodes {options.nnodes} does not divide the {num_ranks} ranks of the engine (tp_size "
            f"{options.tp_size} x pp_size {options.pp_size}); each machine has equally many"
        )
    if options.dp_size > 1 and not options.enable_dp_attention:
        raise ConfigError(
            "dp_size: several engines on several machines are for --backend ray or `sglite router`;"
            " nnodes divides the ranks of one engine"
        )
    needed = {
        "dist_init_addr": "HOST:PORT of machine 0, the same on all",
        "dist_key_file": "a file with a secret, the same on all, as from `openssl rand -hex 32`",
    }
    for name, meaning in needed.items():
        if getattr(options, name) is None:
            raise ConfigError(f"nnodes is {options.nnodes}, so {name} must be given: {meaning}")
