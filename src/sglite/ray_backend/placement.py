"""What a replica reserves of the cluster: GPUs, or so many of a CPU machine's cores.

Pure: numbers of the machines in, numbers of a bundle out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sglite.config import EngineConfig, ServerConfig

CPU_POOL_FRACTION = 0.5
"""What the KV pool of an engine that has a CPU machine for itself takes of the free memory."""
CPU = "CPU"
GPU = "GPU"


def bundle_of(
    config: ServerConfig, node_resources: Sequence[dict[str, float]], num_replicas: int
) -> dict[str, float]:
    """The resources of one replica, all on one machine.

    On GPUs: one for each rank, and a core. Otherwise --ray-replica-cpus, or an even share of the
    cluster's cores among ``num_replicas``. ``node_resources`` are those of each machine in all.
    """
    num_ranks = config.tp_size * config.pp_size
    has_gpu = any(resources.get(GPU, 0) > 0 for resources in node_resources)
    if config.device.startswith("cuda") or (config.device == "auto" and has_gpu):
        return {GPU: float(num_ranks), CPU: config.ray_replica_cpus or 1.0}
    cores = [resources.get(CPU, 0.0) for resources in node_resources]
    return {CPU: config.ray_replica_cpus or even_share(cores, num_replicas)}


def even_share(node_cores: Sequence[float], num_replicas: int) -> float:
    """The most cores that each of ``num_replicas`` can have, none of them on two machines.

    A whole number where that goes, otherwise a fraction of a core, at least 0.01.
    """
    most = max((math.floor(cores) for cores in node_cores), default=0)
    for share in range(most, 0, -1):
        if sum(cores // share for cores in node_cores) >= num_replicas:
            return float(share)
    return max(0.01, math.floor(100 * sum(node_cores) / max(1, num_replicas)) / 100)


def with_share_of_machine(config: EngineConfig, num_engines: int) -> EngineConfig:
    """``config`` for one of ``num_engines`` that share the cores and the memory of a machine.

    What the user has set stays.
    """
    if num_engines == 1:
        return config
    changes: dict[str, Any] = {}
    if config.cpu_cores == "auto":
        changes["cpu_cores"] = "any"  # pinned, all would be on the same ones
    if config.to_dict()["mem_fraction_static"] is None:
        changes["mem_fraction_static"] = CPU_POOL_FRACTION / num_engines
    return config.replace(**changes)


def num_places(bundle: dict[str, float], resources: dict[str, float]) -> int:
    """How many such bundles a machine with these resources holds."""
    return int(min(resources.get(name, 0.0) // amount for name, amount in bundle.items()))


def shortage_of(bundle: dict[str, float], node_resources: Sequence[dict[str, float]]) -> str:
    """For people: what a replica needs, and what there is."""
    nodes = "; ".join(_shown(_of_bundle(bundle, each)) for each in node_resources) or "no machine"
    return f"a replica needs {_shown(bundle)} on one machine; the cluster has {nodes}"


def _of_bundle(bundle: dict[str, float], resources: dict[str, float]) -> dict[str, float]:
    return {name: resources.get(name, 0.0) for name in bundle}


def _shown(resources: dict[str, float]) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in resources.items())
