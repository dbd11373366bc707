"""How the memory is divided: weights, activations, KV pool. Start-up and `sglite plan` ask here.

Step: none of the 8, before them · receives: a DecoderSpec and the options that size things ·
hands on: a MemoryPlan, plain numbers · does not know about: tensors, the engine, the scheduler.
"""

from sglite.memory.facts import MemoryFacts, read_gpu_memory, read_memory_facts
from sglite.memory.for_config import kv_dtype_for_config, plan_for_config, plans_of_stages
from sglite.memory.machines import MachineMemory, divide_among_machines, render_machines
from sglite.memory.memory_plan import MemoryPlan
from sglite.memory.plan import MeasuredMemory, plan_measured, plan_memory
from sglite.memory.refusal import explain_out_of_memory
from sglite.memory.render import render_memory_plan

__all__ = [
    "MachineMemory",
    "MeasuredMemory",
    "MemoryFacts",
    "MemoryPlan",
    "divide_among_machines",
    "explain_out_of_memory",
    "kv_dtype_for_config",
    "plan_for_config",
    "plan_measured",
    "plan_memory",
    "plans_of_stages",
    "read_gpu_memory",
    "read_memory_facts",
    "render_machines",
    "render_memory_plan",
]
