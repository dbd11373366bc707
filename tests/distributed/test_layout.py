import pytest

from sglite.config import EngineConfig
from sglite.distributed.layout import RankLayout
from sglite.errors import ConfigError


def test_ranks_are_numbered_stage_by_stage():
    layout = RankLayout.of(EngineConfig(tp_size=2, pp_size=3))
    assert layout.num_ranks == 6
    assert [layout.stage(rank) for rank in range(6)] == [0, 0, 1, 1, 2, 2]
    assert [layout.tp_rank(rank) for rank in range(6)] == [0, 1, 0, 1, 0, 1]
    assert layout.ranks_of_stage(2) == [4, 5]


def test_machines_have_consecutive_ranks():
    options = EngineConfig(
        tp_size=2, pp_size=2, nnodes=2, dist_init_addr="10.0.0.1:5000", dist_key_file="key"
    )
    layout = RankLayout.of(options)
    assert [layout.node(rank) for rank in range(4)] == [0, 0, 1, 1]
    assert layout.ranks_of_node(1) == [2, 3]


@pytest.mark.parametrize("num_layers", [3, 4, 7, 28])
@pytest.mark.parametrize("pp_size", [1, 2, 3])
def test_stages_share_all_layers_evenly(num_layers, pp_size):
    layout = RankLayout(pp_size=pp_size)
    stages = [layout.layers_of_stage(stage, num_layers) for stage in range(pp_size)]
    assert [layer for stage in stages for layer in stage] == list(range(num_layers))
    sizes = [len(stage) for stage in stages]
    assert max(sizes) - min(sizes) <= 1


def test_more_stages_than_layers_are_refused():
    with pytest.raises(ConfigError, match="pp_size 4 is more than the model's 3 layers"):
        RankLayout(pp_size=4).layers_of_stage(0, 3)


def test_dp_attention_makes_every_rank_a_lane():
    layout = RankLayout.of(EngineConfig(tp_size=4, dp_size=4, enable_dp_attention=True))
    assert (layout.num_ranks, layout.num_lanes) == (4, 4)
    assert RankLayout.of(EngineConfig(tp_size=4, dp_size=4)).num_lanes == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tp_size": 4, "dp_size": 2, "enable_dp_attention": True}, "dp_size is 2, tp_size 4"),
        ({"enable_dp_attention": True}, "and at least 2"),
        (
            {"tp_size": 2, "dp_size": 2, "pp_size": 2, "enable_dp_attention": True},
            "is for one stage, and pp_size is 2",
        ),
        ({"node_rank": 1}, "node_rank is 1; with nnodes 1 it is at most 0"),
        ({"nnodes": 2}, "nnodes 2 does not divide the 1 ranks"),
        ({"nnodes": 2, "tp_size": 2}, "so dist_init_addr must be given"),
        ({"nnodes": 2, "tp_size": 2, "dist_init_addr": "a:1"}, "so dist_key_file must be given"),
        ({"nnodes": 2, "tp_size": 2, "dp_size": 2}, "several engines on several machines"),
    ],
)
def test_what_does_not_fit_together_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        RankLayout.of(EngineConfig(**options))
