"""What ranks take together: their own sizes, the pages of the tightest, engines times ranks."""

from __future__ import annotations

from dataclasses import replace

from sglite.distributed.layout import RankLayout
from sglite.memory import MemoryFacts, divide_among_machines, plan_memory, render_machines
from sglite.models.registry import spec_from_hf
from tests.models.configs import make_hf_config

GIB = 1 << 30
PLAN = plan_memory(
    spec_from_hf(make_hf_config()), facts=MemoryFacts(GIB, GIB), concurrency=2, page_size=16
)


def test_ranks_get_the_pages_of_the_tightest_and_their_own_weights():
    plans = [replace(PLAN, num_pages=9, weights_bytes=1000), replace(PLAN, num_pages=7)]
    layout = RankLayout(tp_size=2, pp_size=2, num_nodes=2)
    memory = divide_among_machines(plans, layout, 1)
    assert [stage.ranks for stage in memory.stages] == [[0, 1], [2, 3]]
    assert [stage.kv_bytes for stage in memory.stages] == [7 * PLAN.kv_bytes_per_page] * 2
    first, second = (stage.num_bytes for stage in memory.stages)
    assert second - first == PLAN.weights_bytes - 1000
    assert memory.bytes_per_machine == [2 * first, 2 * second]


def test_engines_of_one_machine_are_added_up():
    memory = divide_among_machines([PLAN], RankLayout(tp_size=4), 3)
    assert memory.bytes_per_machine == [12 * memory.stages[0].num_bytes]
    lines = render_machines(memory).splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "stage 0, each of ranks 0-3",
        "machine 0, 3 engines",
    ]
    assert all(len(line) == len(lines[0]) < 100 for line in lines)
