"""Say how the memory would be divided, and how many requests fit, before any weight is loaded."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

from sglite.cli.engine import read_config
from sglite.cli.output import write_json
from sglite.config_fields import option_fields
from sglite.config_flags import add_option_arguments
from sglite.config_values import device_type
from sglite.errors import ConfigError

if TYPE_CHECKING:
    from sglite.config import EngineConfig
    from sglite.memory import MachineMemory, MemoryPlan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``sglite plan``."""
    parser.add_argument(
        "--concurrency", metavar="INT", help="requests together; short for --max-running-requests"
    )
    parser.add_argument(
        "--device-memory",
        metavar="AMOUNT",
        help="plan for a GPU with so much memory, e.g. 80GiB or 141GB, that need not be here",
    )
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    add_option_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the plan; ConfigError, saying what to change, where not even one page fits."""
    config = with_concurrency(read_config(arguments), arguments.concurrency)
    plan, machines = plan_for(config, arguments.device_memory)
    if arguments.json:
        derived = {"left_bytes": plan.left_bytes, "num_tokens": plan.num_tokens}
        write_json(dataclasses.asdict(plan) | derived | dataclasses.asdict(machines))
        return 0
    from sglite.memory import render_machines, render_memory_plan

    print(render_memory_plan(plan))
    if machines.num_engines * sum(len(stage.ranks) for stage in machines.stages) > 1:
        print("\nAbove is the rank with the least room. All of them:\n")
        print(render_machines(machines))
    return 0


def with_concurrency(config: EngineConfig, text: str | None) -> EngineConfig:
    """``config`` for so many requests together."""
    if text is None:
        return config
    field = option_fields(type(config))["max_running_requests"]
    return config.replace(max_running_requests=field.parse(text, label="--concurrency"))


def plan_for(
    config: EngineConfig, device_memory: str | None = None
) -> tuple[MemoryPlan, MachineMemory]:
    """The plan of the model that ``config`` names, on a GPU with ``device_memory`` if given: of the
    rank that has the least room, and of all ranks.

    ConfigError where the amount is not one, or the options name another device than a GPU.
    """
    from sglite.config_resolve import resolve
    from sglite.distributed.layout import RankLayout
    from sglite.hardware import OLDEST_CAPABILITY, GpuFacts, HardwareFacts, detect_hardware
    from sglite.host.share import HostShare
    from sglite.memory import MemoryFacts, divide_among_machines, plans_of_stages
    from sglite.memory.units import parse_amount
    from sglite.models.hub import resolve_model_directory
    from sglite.models.loader import read_model_info

    facts = None
    hardware = detect_hardware()
    if device_memory is not None:
        if device_type(config.device) not in ("auto", "cuda"):
            raise ConfigError(f"--device-memory is that of a GPU; device is {config.device!r}")
        config, total = config.replace(device="cuda"), parse_amount(device_memory)
        facts = MemoryFacts(total, total, "device")
        hardware = HardwareFacts(cuda=(GpuFacts("not here", total, OLDEST_CAPABILITY),))
    config = resolve(config, hardware)
    info = read_model_info(
        resolve_model_directory(
            config.model_path, source=config.model_source, revision=config.revision
        )
    )
    layout = RankLayout.of(config)
    num_engines = 1 if config.enable_dp_attention else config.dp_size
    share = HostShare(0, layout.ranks_per_node * num_engines)
    plans = plans_of_stages(config, info, facts=facts, host_share=share)
    tightest = min(plans, key=lambda plan: (plan.num_pages, -plan.weights_bytes))
    return tightest, divide_among_machines(plans, layout, num_engines)
