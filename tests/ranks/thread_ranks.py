"""The ranks of an engine as threads of this process: real channel, real groups, real executors."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import distributed as dist

from sglite.assembly import build_engine, make_share_executor
from sglite.config import EngineConfig
from sglite.config_resolve import resolve
from sglite.device import Device
from sglite.distributed.layout import RankLayout
from sglite.distributed.open_groups import RankGroups, open_groups
from sglite.engine.output_processor import MakeConstraint
from sglite.executors.executor import Executor
from sglite.executors.lane_executor import LaneExecutor
from sglite.hardware import HardwareFacts
from sglite.ipc.frames import encode
from sglite.models.decoder import Decoder
from sglite.models.spec import DecoderSpec
from sglite.models.weight_map import weight_map
from sglite.observability.events import EventStream
from sglite.ranks.joint_ranks import LaneFollower
from sglite.ranks.laned_assembly import build_laned_engine, make_lane_executor
from sglite.ranks.leadership import Leadership
from sglite.ranks.local_channel import LocalReceiver, LocalSender
from sglite.ranks.messages import RankFault, StepDone
from sglite.ranks.rank_follower import RankFollower
from sglite.ranks.rank_links import RankLinks
from sglite.ranks.rank_team import RankTeam
from sglite.ranks.seat import Seat
from tests.engine.harness import Driver, as_loaded

TIMEOUT_S = 20.0


def open_all_groups(layout: RankLayout, *, timeout_s: float = TIMEOUT_S) -> list[RankGroups]:
    """The groups of every rank, which meet in this process."""
    store = dist.HashStore()
    with ThreadPoolExecutor(layout.num_ranks) as pool:
        opened = [
            pool.submit(open_groups, layout, rank, store, timeout_s=timeout_s)
            for rank in range(layout.num_ranks)
        ]
    return [each.result() for each in opened]


def random_weights(spec: DecoderSpec) -> dict[str, torch.Tensor]:
    """A checkpoint whose greedy answers vary."""
    generator = torch.Generator().manual_seed(5)
    return {
        name: torch.randn(target.shape, generator=generator) / (4 if len(target.shape) > 1 else 1)
        for name, target in weight_map(spec).items()
    }


def decoder_of(spec: DecoderSpec, weights: dict[str, torch.Tensor], seat: Seat | None) -> Decoder:
    """The whole model, or a seat's share of it."""
    share = None if seat is None else seat.model_share(spec.num_layers)
    decoder = Decoder(spec, share=share)
    for name, target in decoder.load_plan().items():
        decoder.write(name, target, weights[name])
    return decoder


@dataclass
class ThreadRanks:
    """``team`` is the leader's; ``faults`` are what the other ranks ended with, by rank."""

    seats: list[Seat]
    team: RankTeam
    config: EngineConfig
    executors: dict[int, Executor | LaneExecutor]
    device: Device | None = None
    threads: list[threading.Thread] = field(default_factory=list)
    faults: dict[int, BaseException] = field(default_factory=dict)

    def driver(
        self,
        own: Decoder,
        num_pages: int,
        *,
        make_constraint: MakeConstraint = lambda _: None,
        **traits: Any,
    ) -> Driver:
        """An engine of all ranks; ``own`` is the leader's share of the model."""
        stream = EventStream()
        build: Any = build_laned_engine if self.config.enable_dp_attention else build_engine
        if self.device is not None:
            build = functools.partial(build, device=self.device)
        engine = build(
            self.config,
            as_loaded(own),
            num_pages,
            make_checker=lambda _: None,
            make_constraint=make_constraint,
            events=stream,
            leadership=Leadership(self.seats[0], self.team),
        )
        driver = Driver(engine, **traits)
        stream.subscribe(driver.events.append)
        return driver


Wrap = Callable[[int, Any], Any]


@contextlib.contextmanager
def thread_ranks(
    spec: DecoderSpec,
    weights: dict[str, torch.Tensor],
    num_pages: int,
    *,
    wrap: Wrap = lambda rank, executor: executor,
    devices: Sequence[Device] = (),
    timeout_s: float = TIMEOUT_S,
    **options: Any,
) -> Iterator[tuple[ThreadRanks, Decoder]]:
    """All ranks of the layout in ``options``, waiting for plans, and the leader's share.

    ``wrap`` makes of a rank's executor what is to carry out its plans. With ``devices``, one for
    each rank, these compute, with CUDA graphs where ``options`` say so.
    """
    graphs = {name: options.pop(name) for name in list(options) if name.startswith("cuda_graph")}
    defaults = {"device": "cpu", "check": True, "max_running_requests": 16, "context_length": 512}
    config = EngineConfig(**{**defaults, "dist_timeout_s": timeout_s, **options})
    config = dataclasses.replace(resolve(config, HardwareFacts()), **graphs)
    layout = RankLayout.of(config)
    opened = open_all_groups(layout, timeout_s=timeout_s)
    seats = [Seat(layout, rank, groups) for rank, groups in enumerate(opened)]
    others = range(1, layout.num_ranks)
    sender = LocalSender(len(others), timeout_s=timeout_s)
    pairs = {rank: socket.socketpair() for rank in others}
    links = RankLinks({rank: ours for rank, (ours, _) in pairs.items()})
    ranks = ThreadRanks(seats, RankTeam(links, sender, {}), config, {}, *devices[:1])
    for rank in others:
        model = as_loaded(decoder_of(spec, weights, seats[rank]))
        if layout.num_lanes > 1:
            executor = make_lane_executor(config, model, num_pages, lane=rank)
        else:
            device = devices[rank] if devices else None
            executor = make_share_executor(config, model, num_pages, seats[rank], device=device)
        executor = wrap(rank, executor)
        ranks.executors[rank] = executor
        fds = [os.dup(fd) for fd in sender.fds_of(rank - 1)]
        receiver = LocalReceiver(*fds, rank - 1, len(others))
        thread = threading.Thread(
            target=_follow, args=(ranks, rank, receiver, pairs[rank][1]), daemon=True
        )
        ranks.threads.append(thread)
        thread.start()
    sender.close_inherited()
    links.start()
    try:
        yield ranks, decoder_of(spec, weights, seats[0])
    finally:
        ranks.team.close()
        for thread in ranks.threads:
            thread.join(timeout_s)


def _follow(ranks: ThreadRanks, rank: int, receiver: LocalReceiver, leader: socket.socket) -> None:
    """A rank's life, with its last words to the leader."""

    def tell(message: StepDone | RankFault) -> None:
        leader.sendall(encode(message))

    try:
        executor = ranks.executors[rank]
        if isinstance(executor, LaneExecutor):
            LaneFollower(executor, receiver, lane=rank, tell=tell).run()
        else:
            follower_tell = tell if ranks.seats[rank].draws else None
            num_open = 0 if ranks.device is None else ranks.config.max_in_flight - 1
            RankFollower(executor, receiver, tell=follower_tell, num_open=num_open).run()
    except BaseException as error:  # noqa: BLE001  the test looks at it
        ranks.faults[rank] = error
        with contextlib.suppress(OSError):
            tell(RankFault(str(error)))
    finally:
        receiver.close()
        leader.close()
