from __future__ import annotations

import pytest

from sglite.config import EngineConfig, ServerConfig
from sglite.ray_backend.placement import (
    bundle_of,
    even_share,
    num_places,
    shortage_of,
    with_share_of_machine,
)

CPU_NODE = {"CPU": 8.0, "memory": 1e9}
GPU_NODE = {"CPU": 32.0, "GPU": 8.0}


@pytest.mark.parametrize(
    ("node_cores", "num_replicas", "share"),
    [
        ([2.0], 1, 2.0),
        ([2.0, 2.0], 2, 2.0),
        ([8.0, 4.0], 2, 4.0),  # 6 would fit only once
        ([8.0, 4.0], 3, 4.0),
        ([16.0], 3, 5.0),
        ([2.0], 4, 0.5),
        ([1.0, 1.0], 3, 0.66),
        ([1.0], 500, 0.01),
        ([], 2, 0.01),
    ],
)
def test_even_share(node_cores: list[float], num_replicas: int, share: float) -> None:
    assert even_share(node_cores, num_replicas) == share


@pytest.mark.parametrize(
    ("options", "nodes", "bundle"),
    [
        ({"dp_size": 2}, [CPU_NODE], {"CPU": 4.0}),
        ({"dp_size": 2, "ray_replica_cpus": 1.5}, [CPU_NODE], {"CPU": 1.5}),
        ({"dp_size": 2}, [CPU_NODE, GPU_NODE], {"GPU": 1.0, "CPU": 1.0}),
        ({"tp_size": 4, "pp_size": 2}, [GPU_NODE], {"GPU": 8.0, "CPU": 1.0}),
        ({"device": "cuda", "tp_size": 2}, [CPU_NODE], {"GPU": 2.0, "CPU": 1.0}),
        ({"device": "cpu", "tp_size": 2}, [GPU_NODE], {"CPU": 16.0}),
    ],
)
def test_the_bundle_of_a_replica(
    options: dict[str, object], nodes: list[dict[str, float]], bundle: dict[str, float]
) -> None:
    assert bundle_of(ServerConfig(**options), nodes, 2) == bundle


def test_how_many_replicas_a_machine_holds() -> None:
    assert num_places({"CPU": 2.0}, CPU_NODE) == 4
    assert num_places({"GPU": 4.0, "CPU": 1.0}, GPU_NODE) == 2
    assert num_places({"GPU": 1.0, "CPU": 1.0}, CPU_NODE) == 0


def test_a_shortage_says_what_is_needed_and_what_there_is() -> None:
    text = shortage_of({"GPU": 2.0, "CPU": 1.0}, [CPU_NODE, GPU_NODE])
    assert text == (
        "a replica needs 2 GPU, 1 CPU on one machine; the cluster has 0 GPU, 8 CPU; 8 GPU, 32 CPU"
    )
    assert shortage_of({"CPU": 1.0}, []).endswith("the cluster has no machine")


def test_engines_on_one_machine_share_its_memory_and_pin_no_cores() -> None:
    config = EngineConfig()
    assert with_share_of_machine(config, 1) is config
    shared = with_share_of_machine(config, 2)
    assert shared.mem_fraction_static == 0.25 and shared.cpu_cores == "any"
    own = EngineConfig(mem_fraction_static=0.3, cpu_cores="0")
    assert with_share_of_machine(own, 4) == own
