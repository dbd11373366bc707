"""Options of engines on several devices, of several engines, and of the router before them.

``--tp``, ``--pp`` and ``--enable-dp-attention`` divide one engine among ranks; ``--dp`` alone
makes several engines. Which rank does what is in :mod:`sglite.distributed.layout`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sglite.config_fields import option
from sglite.config_group import OptionGroup

RoutingPolicyName = Literal["cache_aware", "round_robin", "shortest_queue", "random", "sticky"]
ROUTING_SPELLINGS = {
    "rr": "round_robin",
    "fsfs": "shortest_queue",
    "total_tokens": "shortest_queue",
    "minimum_tokens": "shortest_queue",
    "total_requests": "shortest_queue",
    "cache-aware": "cache_aware",
    "round-robin": "round_robin",
}


@dataclass(frozen=True, kw_only=True)
class ParallelOptions(OptionGroup):
    """One model on several devices or machines."""

    tp_size: int = option(1, ge=1, le=64, aliases=("tp", "tensor-parallel-size"))
    """Ranks that share each layer (tensor parallelism). It has to divide the attention heads; each
    rank is a process with a GPU, or with its part of the CPU's cores."""
    pp_size: int = option(1, ge=1, le=64, aliases=("pp", "pipeline-parallel-size"))
    """Stages that the layers are divided among (pipeline parallelism), each of tp_size ranks. As
    many steps are open at once, each with other sequences."""
    dp_size: int = option(1, ge=1, le=64, aliases=("dp", "data-parallel-size"))
    """Engines, each with a whole model (of tp_size x pp_size ranks), behind one router; with
    enable_dp_attention instead the parts that one engine's requests are divided into."""
    enable_dp_attention: bool = option(False)
    """Divide the requests, and so the KV, among the tp_size ranks (dp_size is the same number):
    each computes the attention of its own requests, all together the MLPs."""
    nnodes: int = option(1, ge=1, le=64)
    """Machines that the ranks of one engine are divided among."""
    node_rank: int = option(0, ge=0)
    """Number of this machine among nnodes; 0 serves HTTP, the others only compute."""
    dist_init_addr: str | None = option(None, aliases=("nccl-init-addr",))
    """HOST:PORT at machine 0 where the ranks of all machines meet; its network must be private."""
    dist_key_file: str | None = option(None)
    """File with a secret that all machines have; needed with dist_init_addr."""
    dist_timeout_s: float = option(30.0, gt=0, aliases=("dist-timeout",))
    """Seconds that a rank waits for the others before the engine ends as failed."""


@dataclass(frozen=True, kw_only=True)
class RoutingOptions(OptionGroup):
    """Several engines behind one HTTP front: `--dp`, or the workers of `sglite router`."""

    routing_policy: RoutingPolicyName = option(
        "cache_aware",
        aliases=("load-balance-method", "scheduler-mode"),
        spellings=ROUTING_SPELLINGS,
    )
    """Which engine gets a request: the one with the longest cached prefix while loads are balanced,
    each in turn, the one with the fewest tokens to compute, a random one, or the one that has the
    caller's session (header X-Session-Id, or `user`)."""
    balance_tokens: int = option(32_768, ge=0)
    """With cache_aware and sticky: how many open tokens an engine may be ahead of the least loaded
    before requests go there instead."""
    balance_factor: float = option(1.5, ge=1)
    """The same as a factor; a request goes elsewhere only where both are exceeded."""
    max_inflight_total: int | None = option(None, ge=1)
    """Most requests in all engines together; more wait in the router. Unset: no limit."""
    max_inflight_per_engine: int | None = option(None, ge=1)
    """Most requests in one engine; more wait in the router. Unset: no limit."""


@dataclass(frozen=True, kw_only=True)
class ReplicaOptions(OptionGroup):
    """Where several engines (`--dp`) run, and how many there are."""

    backend: Literal["local", "ray"] = option("local", aliases=("distributed-executor-backend",))
    """Where the engines run: as processes here, or as actors of a Ray cluster (extra `ray`)."""
    ray_address: str | None = option(None)
    """Address of the Ray cluster; unset: the one that RAY_ADDRESS or this machine knows, else a new
    one here."""
    min_replicas: int | None = option(None, ge=1, le=64)
    """With `--backend ray`: fewest engines; unset: dp_size."""
    max_replicas: int | None = option(None, ge=1, le=64)
    """With `--backend ray`: most engines; above min_replicas they follow the queue."""
    ray_replica_cpus: float | None = option(None, gt=0)
    """With `--backend ray`, on machines without GPUs: cores of each engine, all of one machine.
    Unset: an even share of the cluster. Fewer leave room for engines whose machine is lost."""
    scale_up_requests: int = option(8, ge=1)
    """With max_replicas: as many open requests per engine ask for one more."""


@dataclass(frozen=True, kw_only=True)
class RouterOptions(OptionGroup):
    """`sglite router`: a router before servers on other machines."""

    workers: str | None = option(None, aliases=("worker-urls",), is_list=True)
    """URLs of the servers, with blanks between them; more can be added later with the admin key."""
    worker_api_key: str | None = option(None, is_secret=True)
    """Key that the router sends to the workers, instead of the one that its caller sent. Rather use
    the environment or worker_api_key_file."""
    worker_api_key_file: str | None = option(None)
    """File whose first line is that key."""
    worker_admin_api_key_file: str | None = option(None)
    """File whose first line is the key for control routes of the workers (flush, pause); unset:
    the same key."""
    health_interval_s: float = option(2.0, gt=0, aliases=("health-check-interval-secs",))
    """Seconds between two looks at a worker's /health; one that is down is asked ever more rarely,
    up to eight times that."""
    health_timeout_s: float = option(10.0, gt=0, aliases=("health-check-timeout-secs",))
    """Seconds that a worker may take to answer that, and to accept a connection."""
    health_failures: int = option(3, ge=1, aliases=("health-failure-threshold",))
    """Looks in a row that have to fail before a worker is taken out. One that cannot be connected
    to is taken out at once."""
    max_tries: int = option(3, ge=1, le=16)
    """Most workers that one request is sent to, one after another, until its answer begins."""
    max_waiting_requests: int = option(2048, ge=0, aliases=("queue-size",))
    """Most requests that wait in line where max_inflight_total or max_inflight_per_engine holds
    them; more are refused."""
