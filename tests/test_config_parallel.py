import pytest

from sglite.config import EngineConfig, ServerConfig
from sglite.config_sources import load_values
from sglite.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"tp": 2}, "tp_size", 2),
        ({"tensor_parallel_size": 2}, "tp_size", 2),
        ({"pp": 3}, "pp_size", 3),
        ({"data_parallel_size": 4}, "dp_size", 4),
        ({"nccl_init_addr": "a:1"}, "dist_init_addr", "a:1"),
        ({"load_balance_method": "total_tokens"}, "routing_policy", "shortest_queue"),
        ({"scheduler_mode": "rr"}, "routing_policy", "round_robin"),
    ],
)
def test_other_engines_spellings_are_known(given, name, value):
    config = ServerConfig(**load_values(ServerConfig, given))
    assert getattr(config, name) == value


@pytest.mark.parametrize("name", ["tp_size", "pp_size", "dp_size", "nnodes"])
def test_sizes_begin_at_one(name):
    with pytest.raises(ConfigError, match=f"{name}: 0 is not allowed"):
        EngineConfig(**{name: 0})


def test_an_engine_knows_nothing_of_routing():
    config = ServerConfig(routing_policy="random", dp_size=2).engine_config()
    assert not hasattr(config, "routing_policy")
    assert config.dp_size == 2
