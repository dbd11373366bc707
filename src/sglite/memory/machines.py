"""What the ranks of one engine, or of several, take of each machine together."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sglite.distributed.layout import RankLayout
from sglite.memory.memory_plan import MemoryPlan
from sglite.memory.units import amount


@dataclass(frozen=True, slots=True)
class StageMemory:
    """Each of the ``ranks`` of a pipeline stage takes so much; ``kv_bytes`` is its KV pool."""

    ranks: list[int]
    weights_bytes: int
    graph_bytes: int
    activation_bytes: int
    kv_bytes: int

    @property
    def num_bytes(self) -> int:
        """All of it."""
        return self.weights_bytes + self.graph_bytes + self.activation_bytes + self.kv_bytes


@dataclass(frozen=True, slots=True)
class MachineMemory:
    """``stages`` of one engine, and what all ranks of ``num_engines`` on each machine take."""

    stages: list[StageMemory]
    num_engines: int
    bytes_per_machine: list[int]


def divide_among_machines(
    plans: list[MemoryPlan], layout: RankLayout, num_engines: int
) -> MachineMemory:
    """From the plan of each stage's ranks; all of them get the pages that fit the tightest."""
    num_pages = min(plan.num_pages for plan in plans)
    stages = []
    for number, plan in enumerate(plans):
        fitting = replace(plan, num_pages=num_pages)
        stages.append(
            StageMemory(
                layout.ranks_of_stage(number),
                plan.weights_bytes,
                plan.graph_bytes,
                plan.activation_bytes,
                fitting.kv_bytes,
            )
        )
    of_machines = [
        num_engines * sum(stages[layout.stage(rank)].num_bytes for rank in layout.ranks_of_node(n))
        for n in range(layout.num_nodes)
    ]
    return MachineMemory(stages, num_engines, of_machines)


def render_machines(memory: MachineMemory) -> str:
    """Plain text: a row per stage, then a row per machine."""
    head = ("", "weights", "activations", "KV pool", "together")
    rows: list[tuple[str, ...]] = [head]
    for number, stage in enumerate(memory.stages):
        sizes = (stage.weights_bytes, stage.activation_bytes + stage.graph_bytes, stage.kv_bytes)
        name = f"stage {number}, each of {_ranks(stage.ranks)}"
        rows.append((name, *map(amount, sizes), amount(stage.num_bytes)))
    engines = "1 engine" if memory.num_engines == 1 else f"{memory.num_engines} engines"
    for number, total in enumerate(memory.bytes_per_machine):
        rows.append((f"machine {number}, {engines}", "", "", "", amount(total)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = []
    for row in rows:
        sizes_text = [f"{text:>{width}}" for text, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([f"{row[0]:<{widths[0]}}", *sizes_text]))
    return "\n".join(lines)


def _ranks(ranks: list[int]) -> str:
    return f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {ranks[0]}-{ranks[-1]}"
