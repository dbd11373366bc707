"""How the memory is divided: weights, activations, KV pool. Start-up and `sglite plan` ask here.

Step: none of the 8, before them · receives: a DecoderSpec and the options that size things ·
hands on: a MemoryPlan, plain numbers · does not know about: tensors, the engine, the scheduler.
"""

from sglite.memory.facts import MemoryFacts, read_memory_facts
from sglite.memory.for_config import kv_dtype_for_config, plan_for_config
from sglite.memory.plan import MemoryPlan, plan_memory
from sglite.memory.render import render_memory_plan

__all__ = [
    "MemoryFacts",
    "MemoryPlan",
    "kv_dtype_for_config",
    "plan_for_config",
    "plan_memory",
    "read_memory_facts",
    "render_memory_plan",
]
