"""Say what this machine uses and why: cores, memory, instruction set, weights, devices, GPUs.

Nothing is loaded or measured. Options count as they would for an engine.
"""

from __future__ import annotations

import argparse
import platform
import textwrap
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sglite.cli.engine import read_config
from sglite.cli.output import write_json
from sglite.config_flags import add_option_arguments
from sglite.config_values import device_type
from sglite.errors import ConfigError
from sglite.hardware import OLDEST_CAPABILITY

if TYPE_CHECKING:
    from sglite.config import EngineConfig
    from sglite.hardware import HardwareFacts
    from sglite.host.cores import Cores

COLUMNS = 100
HOW_TO_COMPILE = (
    "without it models run on torch alone, several times slower; "
    "install a C++ compiler and run `pip install` again"
)
ABOUT_HUGE_PAGES = {
    "always": "Linux uses them by itself",
    "madvise": "torch asks for them with THP_MEM_ALLOC_ENABLE=1",
    "never": "large weights cost more address lookups; `madvise` allows them",
}
# As people call them, and the modules that they may be.
GPU_PACKAGES = {
    "triton": ("triton",),
    "flashinfer": ("flashinfer",),
    "flash-attention 3": ("flash_attn_interface", "sgl_kernel"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact. ``value`` is for programs (JSON), ``text`` for people, ``why`` for both."""

    name: str
    value: Any
    text: str
    why: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``sglite doctor``."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    add_option_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; ConfigError where an option is wrong or its device is not there."""
    findings = diagnose(read_config(arguments))
    if arguments.json:
        write_json({each.name: _without(asdict(each), "name", "text") for each in findings})
    else:
        print(render(findings))
    return 0


def diagnose(config: EngineConfig) -> list[Finding]:
    """What an engine with these options would find here."""
    from sglite.config_resolve import resolve
    from sglite.hardware import detect_hardware
    from sglite.host.cores import read_cores

    hardware = detect_hardware()
    config = resolve(config, hardware)
    cores = read_cores()
    return [
        *_about_software(),
        about_cores(cores),
        about_threads(config.cpu_cores, cores),
        *_about_cpu(),
        _about_memory(),
        _about_huge_pages(),
        _about_extension(),
        about_kernels(config.cpu_kernels, device=config.device),
        about_dtype(config.dtype, device=config.device),
        about_weight_cache(config.weight_cache),
        about_devices(config.device, hardware),
        about_gpus(hardware),
        about_gpu_packages(),
        about_attention(config, hardware),
        about_ranks(config, hardware),
        about_ray(),
    ]


def render(findings: list[Finding]) -> str:
    """A row per finding; its reason is beside it, or below it where it does not fit."""
    name_width = max(len(each.name) for each in findings)
    text_width = max(len(each.text) for each in findings if len(each.text) <= COLUMNS // 3)
    return "\n".join(_row(each, name_width, text_width) for each in findings)


def _row(finding: Finding, name_width: int, text_width: int) -> str:
    start = f"{finding.name.replace('_', ' '):<{name_width}}  "
    indent = " " * (len(start) + text_width + 2)
    if not finding.why:
        return start + finding.text
    reason = textwrap.fill(finding.why, COLUMNS, initial_indent=indent, subsequent_indent=indent)
    if len(finding.text) > text_width:
        return f"{start}{finding.text}\n{reason}"
    return f"{start}{finding.text:<{text_width}}  {reason.lstrip()}"


def _about_software() -> list[Finding]:
    import torch

    import sglite

    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    return [
        Finding("sglite", sglite.__version__, sglite.__version__),
        Finding("python", platform.python_version(), platform.python_version(), system),
        Finding("torch", torch.__version__, torch.__version__),
    ]


def about_cores(cores: Cores) -> Finding:
    """How many cores can be busy, and what limits them."""
    text = f"{cores.effective:g} of {cores.total}"
    if cores.quota is not None and cores.quota < cores.usable:
        why = f"the cgroup's limit is the time of {cores.quota:g}"
    elif cores.usable < cores.total:
        why = "this process may not run on the others"
    else:
        why = "no limit"
    return Finding("cores", asdict(cores) | {"effective": cores.effective}, text, why)


def about_threads(option: str, cores: Cores) -> Finding:
    """How many threads compute with this ``cpu_cores``, whose they are, and where."""
    import torch

    from sglite.host.compute_threads import choose_threads
    from sglite.host.cores import usable_cores, whole_cores
    from sglite.kernels import cpu

    default = torch.get_num_threads()
    threads = choose_threads(option, cores, usable_cores(), default, whole_cores)
    extension = cpu.extension()
    source = "torch" if extension is None else extension.thread_source()
    why = f"from {source}, not pinned"
    if threads.pinned:
        why = f"from {source}, on cores {', '.join(map(str, threads.pinned))}"
    if threads.count < default:
        why += f"; torch alone would take {default}"
    value = {"count": threads.count, "source": source, "pinned": list(threads.pinned)}
    return Finding("threads", value, str(threads.count), why)


def _about_cpu() -> list[Finding]:
    from sglite.cli.machine import cpu_flags, cpu_name

    name, flags = cpu_name(), cpu_flags()
    present = [flag for flag, is_there in flags.items() if is_there]
    absent = [flag for flag, is_there in flags.items() if not is_there]
    why = f"without {', '.join(absent)}" if absent else ""
    text = ", ".join(present) or ("none that matter" if flags else "not listed by the system")
    return [Finding("cpu", name, name), Finding("cpu_flags", flags, text, why)]


def _about_memory() -> Finding:
    from sglite.memory import read_memory_facts
    from sglite.memory.units import amount

    facts = read_memory_facts()
    text = f"{amount(facts.available_bytes)} of {amount(facts.total_bytes)}"
    return Finding("memory", asdict(facts), text, f"free now, bound by the {facts.bound_by}")


def _about_huge_pages() -> Finding:
    from sglite.cli.machine import huge_pages

    setting = huge_pages()
    why = ABOUT_HUGE_PAGES.get(setting or "", "")
    return Finding("huge_pages", setting, setting or "not listed by the system", why)


def _about_extension() -> Finding:
    from sglite.kernels import cpu

    extension = cpu.extension()
    if extension is None:
        return Finding("extension", None, "missing", f"{cpu.why_missing()}; {HOW_TO_COMPILE}")
    return Finding("extension", extension.__file__, str(extension.__file__))


def about_kernels(option: str, *, device: str) -> Finding:
    """The instruction set that an engine with this ``cpu_kernels`` would compute with."""
    from sglite.kernels import cpu

    runnable = cpu.instruction_sets()
    try:
        chosen = cpu.choose(option) if device == "cpu" else None
        why = _why_kernels(option, device, runnable)
    except ConfigError as error:
        chosen, why = None, str(error)
    value = {"option": option, "chosen": chosen, "runnable": runnable}
    return Finding("cpu_kernels", value, chosen or "none", why)


def _why_kernels(option: str, device: str, runnable: list[str]) -> str:
    if device != "cpu":
        return f"device is {device}"
    if option != "auto":
        others = [name for name in runnable if name != option]
        also = "also " if len(others) < len(runnable) else ""
        return f"cpu_kernels is {option}; this machine {also}runs {', '.join(others) or 'no other'}"
    if not runnable:
        return "there is no extension"
    slower = f", before {', '.join(runnable[1:])}" if runnable[1:] else ""
    return f"the fastest that was compiled and runs here{slower}"


def about_dtype(option: str, *, device: str) -> Finding:
    """The type that the weights of a bfloat16 checkpoint, the usual one, would get."""
    from sglite.models.weight_dtype import cpu_has_bfloat16, resolve_dtype

    name = str(resolve_dtype(option, "bfloat16", device=device)).removeprefix("torch.")
    if option != "auto":
        why = f"dtype is {option}"
    elif device == "cpu" and not cpu_has_bfloat16():
        why = "this CPU does not multiply bfloat16, the type of most checkpoints"
    else:
        why = f"the type of most checkpoints; this {device_type(device)} multiplies it"
    return Finding("dtype", name, name, why)


def about_weight_cache(option: str) -> Finding:
    """Where packed weights are kept for the next start, and how much that is."""
    from sglite.memory.units import amount
    from sglite.models.weight_cache import SHARE_OF_DISK, WeightCache

    cache = WeightCache.of(option)
    if cache is None:
        why = "weight_cache is off" if option == "off" else "this user has no home directory"
        return Finding("weight_cache", None, "none", f"{why}: every start packs the weights")
    count, num_bytes = len(cache.entries()), cache.num_bytes()
    why = f"{count} models' packed weights, {amount(num_bytes)}"
    if cache.is_bounded:
        why += f"; at most 1/{SHARE_OF_DISK} of the disk's room. It may be deleted at any time"
    value = {"directory": str(cache.directory), "entries": count, "bytes": num_bytes}
    return Finding("weight_cache", value, str(cache.directory), why)


def about_devices(chosen: str, hardware: HardwareFacts) -> Finding:
    """What a model could run on here, and what it would run on."""
    found = ["cpu", *(["mps"] if hardware.has_mps else [])]
    found += [f"cuda:{number}" for number in range(len(hardware.cuda))]
    return Finding("devices", found, ", ".join(found), f"{chosen} is used")


def about_gpus(hardware: HardwareFacts) -> Finding:
    """The CUDA GPUs, and what their driver and torch are made for."""
    import torch

    from sglite.cli.machine import nvidia_driver
    from sglite.memory.units import amount

    driver = nvidia_driver()
    value = {
        "driver": driver,
        "torch_cuda": torch.version.cuda,
        "gpus": [asdict(each) for each in hardware.cuda],
    }
    if not hardware.cuda:
        why = hardware.why_no_cuda + (f"; there is a driver, {driver}" if driver else "")
        return Finding("gpus", value, "none", why)
    gpus = [
        f"{each.name}, {amount(each.total_bytes)}, compute capability"
        f" {'.'.join(map(str, each.capability))}"
        for each in hardware.cuda
    ]
    why = f"driver {driver or 'unknown'}, torch for CUDA {torch.version.cuda or 'unknown'}"
    if not all(each.is_new_enough for each in hardware.cuda):
        oldest = ".".join(map(str, OLDEST_CAPABILITY))
        why += f"; below {oldest} used only when asked for"
    return Finding("gpus", value, "; ".join(gpus), why)


def about_gpu_packages(find: Callable[[str], object] = find_spec) -> Finding:
    """Which of the packages that attention on a GPU may use are installed. None is imported."""
    value = {
        name: any(find(module) is not None for module in modules)
        for name, modules in GPU_PACKAGES.items()
    }
    present = [name for name, is_there in value.items() if is_there]
    absent = [name for name, is_there in value.items() if not is_there]
    why = f"without {', '.join(absent)}" if absent else ""
    return Finding("gpu_packages", value, ", ".join(present) or "none", why)


def about_ranks(config: EngineConfig, hardware: HardwareFacts) -> Finding:
    """Whether several ranks could compute here, and what they would talk through."""
    from torch import distributed

    from sglite.distributed.shared_memory_group import memory_bytes

    is_gpu = device_type(config.device) == "cuda"
    can_talk = distributed.is_available() and (
        distributed.is_nccl_available() if is_gpu else distributed.is_gloo_available()
    )
    shares_memory = not is_gpu and memory_bytes(2) > 0
    value = {"available": can_talk, "shares_memory": shares_memory, "gpus": len(hardware.cuda)}
    way = "NCCL" if is_gpu else "gloo"
    if not can_talk:
        return Finding("ranks", value, "one alone", f"this torch comes without {way}")
    if is_gpu:
        return Finding("ranks", value, f"up to {len(hardware.cuda)}", "one per GPU, over NCCL")
    text = "shared memory and gloo" if shares_memory else "gloo"
    why = "" if shares_memory else "sums go through sockets, which is several times slower"
    return Finding("ranks", value, f"several, over {text}", why)


def about_ray(find: Callable[[str], object] = find_spec) -> Finding:
    """Whether `--backend ray` could be used. Ray is not imported."""
    is_there = find("ray") is not None
    why = "" if is_there else "--backend ray needs it: pip install 'sglite[ray]'"
    return Finding("ray", is_there, "installed" if is_there else "not installed", why)


def about_attention(
    config: EngineConfig, hardware: HardwareFacts, installed: frozenset[str] | None = None
) -> Finding:
    """What computes attention on the GPU for a bfloat16 checkpoint with heads of 128, the usual.

    ``installed`` None looks which backends are.
    """
    import torch

    from sglite.attention.choose import AttentionFacts, choose_backends, installed_backends
    from sglite.kvcache.kv_pool import resolve_kv_dtype
    from sglite.models.weight_dtype import resolve_dtype

    kind, _, number = config.device.partition(":")
    if kind != "cuda":
        return Finding("attention", None, "no choice", f"device is {config.device}")
    dtype = resolve_dtype(config.dtype, "bfloat16", device=config.device)
    capability = hardware.cuda[int(number or 0)].capability
    facts = AttentionFacts(
        device_type=kind,
        capability=capability if torch.version.hip is None else None,
        installed=installed_backends() if installed is None else installed,
        head_dim=128,
        dtype=dtype,
        kv_dtype=resolve_kv_dtype(config.kv_cache_dtype, dtype),
        deterministic=config.deterministic,
    )
    try:
        chosen = choose_backends(
            config.attention_backend,
            facts,
            prefill=config.prefill_attention_backend,
            decode=config.decode_attention_backend,
        )
    except ConfigError as error:
        return Finding("attention", None, "none", str(error))
    why = "; ".join(f"{kind} by {reason}" for kind, reason in chosen.reasons.items())
    value = {"prefill": chosen.prefill, "decode": chosen.decode}
    return Finding("attention", value, f"{chosen.prefill}, {chosen.decode}", why)


def _without(mapping: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name not in names}
