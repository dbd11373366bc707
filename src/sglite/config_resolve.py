"""Settles what options leave open, once, from facts about the machine.

The type of the weights and the context length wait for the checkpoint, the size of the KV pool for
both; this settles the rest.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from sglite.config import EngineConfig
from sglite.config_fields import option_fields
from sglite.config_values import attention_backend_pair, device_type
from sglite.errors import ConfigError
from sglite.hardware import OLDEST_CAPABILITY, HardwareFacts

LARGEST_GRAPH = 256

# option -> the value and the reason where nobody chose one: on the CPU and on MPS, and on CUDA.
# None: what the option says of itself holds there.
DEFAULTS: dict[str, tuple[tuple[Any, str] | None, tuple[Any, str] | None]] = {
    "page_size": (
        (16, "small pages share more, and the CPU's kernels take 16 tokens"),
        (64, "a GPU reads long stretches of memory fastest"),
    ),
    "mem_fraction_static": (
        (0.5, "other programs share the memory of a CPU"),
        (0.9, "a GPU's memory is for one program"),
    ),
    "chunked_prefill_size": (None, (8192, "so many tokens keep a GPU busy")),
    "max_in_flight": (
        (1, "planning would take time from the cores that compute"),
        (2, "the next step is planned while the GPU computes"),
    ),
    "cuda_graph_max_tokens": (None, (512, "longer chunks hide what launching costs")),
}

# Options for CUDA, each with the values that ask for nothing that other devices lack.
CUDA_ALONE: dict[str, tuple[Any, ...]] = {
    "attention_backend": ("auto",),
    "prefill_attention_backend": (None, "auto"),
    "decode_attention_backend": (None, "auto"),
    "cuda_graph_max_bs": (None, 0),
    "cuda_graph_max_tokens": (None, 0),
    "cuda_graph_capture": ("start",),
    "enable_torch_compile": (False,),
}

CPU_ALONE = ("cpu_kernels", "cpu_cores", "weight_cache")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Choice:
    """One settled option and why."""

    option: str
    value: Any
    reason: str


def resolve(config: EngineConfig, hardware: HardwareFacts) -> EngineConfig:
    """A new config with nothing left open but ``dtype``, ``context_length`` and the pool's size.

    Logs each choice with its reason. ConfigError where the machine lacks what an option asks for.
    """
    _refuse_missing_device(config.device, hardware)
    device = _choose_device(config, hardware)
    is_open = device.value != config.device
    config = config.replace(device=device.value)
    choices = open_choices(config)
    for choice in ([device] if is_open else []) + choices:
        # The rest is what anybody expects; an accelerator that stays idle is not.
        is_idle = choice.value == "cpu" and (hardware.has_mps or hardware.cuda)
        surprises = choice.option == "device" and is_idle
        logger.log(
            logging.INFO if surprises else logging.DEBUG,
            "option_settled",
            extra={"fields": {choice.option: choice.value, "reason": choice.reason}},
        )
    for pointless in contradictions(config):
        logger.warning("option_without_effect", extra={"fields": {"option": pointless}})
    _refuse_foreign_types(config)
    _refuse_foreign_ranks(config)
    return config.replace(**{choice.option: choice.value for choice in choices})


def _refuse_missing_device(device: str, hardware: HardwareFacts) -> None:
    kind, _, number = device.partition(":")
    if kind == "mps" and not hardware.has_mps:
        raise ConfigError("device: 'mps' is not available on this machine; give cpu or auto")
    if kind != "cuda":
        return
    if not hardware.cuda:
        raise ConfigError(
            f"device: {device!r} is not available on this machine ({hardware.why_no_cuda}); "
            "give cpu or auto"
        )
    if int(number or 0) >= len(hardware.cuda):
        last = len(hardware.cuda) - 1
        there = "only cuda:0 is" if last == 0 else f"cuda:0 to cuda:{last} are"
        raise ConfigError(f"device: {device!r} is not on this machine; {there}")


def _choose_device(config: EngineConfig, hardware: HardwareFacts) -> Choice:
    if config.device == "cuda":
        return Choice("device", "cuda:0", "it is the first GPU")
    if config.device != "auto":
        return Choice("device", config.device, "it was given")
    usable = [number for number, each in enumerate(hardware.cuda) if each.is_new_enough]
    if usable:
        name = hardware.cuda[usable[0]].name
        return Choice("device", f"cuda:{usable[0]}", f"it is the first GPU that will do ({name})")
    if hardware.cuda:
        oldest = ".".join(map(str, OLDEST_CAPABILITY))
        reason = f"no GPU has compute capability {oldest} or more; older ones only when asked for"
    elif hardware.has_mps:
        reason = "mps is used only when asked for"
    else:
        reason = hardware.why_no_cuda
    return Choice("device", "cpu", reason)


def open_choices(config: EngineConfig) -> list[Choice]:
    """What is settled for the device of ``config``, which is not auto any more. Pure."""
    choices = []
    if config.tokenizer_path is None and config.model_path is not None:
        choices.append(Choice("tokenizer_path", config.model_path, "it comes with the model"))
    if config.pp_size > 1 and _is_open(config, "max_in_flight"):
        reason = f"so many stages compute at once (pp_size is {config.pp_size})"
        choices.append(Choice("max_in_flight", config.pp_size, reason))
    if config.enable_dp_attention and _is_open(config, "max_in_flight"):
        choices.append(Choice("max_in_flight", 1, "the lanes of a step are committed together"))
    choices += _attention_choices(config) + _graph_choices(config)
    decided = {choice.option for choice in choices}
    is_cuda = device_type(config.device) == "cuda"
    for name, defaults in DEFAULTS.items():
        default = defaults[is_cuda]
        if default is not None and name not in decided and _is_open(config, name):
            choices.append(Choice(name, *default))
    if config.num_pages is not None:
        settled = {choice.option: choice.value for choice in choices}
        page_size = settled.get("page_size", config.page_size)
        reason = f"num_pages is {config.num_pages} and a page has {page_size} tokens"
        choices.append(Choice("max_total_tokens", config.num_pages * page_size, reason))
    return choices


def _is_open(config: EngineConfig, name: str) -> bool:
    """True where an option is unset, which type checkers deny of those that are ``Settled``."""
    return getattr(config, name) is None


def _attention_choices(config: EngineConfig) -> list[Choice]:
    """The backends of prefill and decode, one by one."""
    names = ("prefill_attention_backend", "decode_attention_backend")
    pair = attention_backend_pair(config.attention_backend)
    reason = f"attention_backend is {config.attention_backend}"
    return [
        Choice(name, value, reason)
        for name, value in zip(names, pair, strict=True)
        if _is_open(config, name)
    ]


def _graph_choices(config: EngineConfig) -> list[Choice]:
    """The largest CUDA graphs of decode steps, and both sizes where there are to be none."""
    if config.disable_cuda_graph or device_type(config.device) != "cuda":
        given = config.disable_cuda_graph
        reason = "disable_cuda_graph is set" if given else f"device is {config.device}"
        return [Choice(f"cuda_graph_{name}", 0, reason) for name in ("max_bs", "max_tokens")]
    wanted, reason = (
        config.cuda_graph_max_bs,
        f"max_running_requests is {config.max_running_requests}",
    )
    if _is_open(config, "cuda_graph_max_bs"):
        wanted = LARGEST_GRAPH
    elif wanted <= config.max_running_requests:
        return []
    if wanted < config.max_running_requests:
        reason = "larger steps hide what launching costs"
    return [Choice("cuda_graph_max_bs", min(wanted, config.max_running_requests), reason)]


def _refuse_foreign_types(config: EngineConfig) -> None:
    """ConfigError for a type of weights or of KV that the device has no kernels for."""
    is_cpu = config.device == "cpu"
    for option, value in (
        ("kv_cache_dtype", config.kv_cache_dtype),
        ("quantization", config.quantization),
    ):
        if not is_cpu and value in ("int8", "int4", "fp8_e4m3"):
            instead = "leave it out"
            if option == "kv_cache_dtype":
                instead = "give auto, bfloat16, float16 or float32"
            raise ConfigError(
                f"{option}: {value!r} is for device cpu, and device is {config.device!r};"
                f" {instead}, or device cpu"
            )
    if is_cpu and config.kv_cache_dtype == "float16":
        raise ConfigError(
            "kv_cache_dtype: 'float16' is not for device cpu; give auto, bfloat16 or float32"
        )


def _refuse_foreign_ranks(config: EngineConfig) -> None:
    """ConfigError for several ranks on a device whose executor has none."""
    if config.device == "cpu":
        return
    if config.pp_size > 1:
        raise ConfigError(
            f"pp_size: {config.pp_size} stages are for device cpu, and device is "
            f"{config.device!r}; give tp_size instead, or device cpu"
        )
    if config.enable_dp_attention:
        raise ConfigError(
            f"enable_dp_attention is for device cpu, and device is {config.device!r}; leave it "
            "out, or give device cpu"
        )
    if config.tp_size > 1 and config.device == "mps":
        raise ConfigError(
            f"tp_size: {config.tp_size} ranks are for device cpu or cuda, and device is 'mps'; "
            "give 1, or another device"
        )


def refuse_missing_gpus(config: EngineConfig, hardware: HardwareFacts) -> None:
    """ConfigError where the ranks of an engine, from its ``device`` on, need more than there is."""
    kind, _, first = config.device.partition(":")
    ranks_here = max(1, config.tp_size * config.pp_size // config.nnodes)
    last, num_gpus = int(first or 0) + ranks_here - 1, len(hardware.cuda)
    if kind == "cuda" and last >= num_gpus:
        raise ConfigError(
            f"device: an engine with tp_size {config.tp_size} needs {config.device} to "
            f"cuda:{last} on this machine, which has {num_gpus} in all; give a smaller tp_size or "
            "dp_size, or more machines (nnodes)"
        )


def contradictions(config: EngineConfig) -> list[str]:
    """Options that were given and that another option makes pointless, in words. Pure.

    Where ``device`` is still auto, what depends on it is left out.
    """
    found = []
    limits = ("radix_cache_max_tokens", "radix_cache_max_entries", "radix_cache_max_prompt_tokens")
    if config.disable_radix_cache:
        given = [name for name in limits if getattr(config, name) is not None]
        found += [f"{name} (disable_radix_cache is set)" for name in given]
    default_itl_ms = option_fields(EngineConfig)["target_itl_ms"].default
    if config.target_itl_ms != default_itl_ms:
        if config.chunked_prefill_size is not None:
            found.append("target_itl_ms (chunked_prefill_size is set)")
        elif device_type(config.device) == "cuda":
            found.append("target_itl_ms (on CUDA chunked_prefill_size counts)")
    if config.num_pages is not None and config.max_total_tokens is not None:
        found.append("max_total_tokens (num_pages is set)")
    if not _is_open(config, "max_in_flight") and 1 < config.pp_size < config.max_in_flight:
        found.append(f"max_in_flight (pp_size is {config.pp_size}: more steps would only wait)")
    if not _is_open(config, "max_in_flight") and config.enable_dp_attention:
        found += ["max_in_flight (enable_dp_attention is set)"] * (config.max_in_flight > 1)
    if config.skip_tokenizer_init and config.chat_template is not None:
        found.append("chat_template (skip_tokenizer_init is set)")
    return found + _pointless_for_ranks(config) + _pointless_for_device(config)


def _pointless_for_ranks(config: EngineConfig) -> list[str]:
    """What is pointless with so many ranks, engines and machines."""
    defaults = {name: field.default for name, field in option_fields(type(config)).items()}

    def given(*names: str) -> list[str]:
        here = [name for name in names if name in defaults]
        return [name for name in here if getattr(config, name) != defaults[name]]

    found = []
    if config.nnodes == 1:
        addresses = given("dist_init_addr", "dist_key_file")
        found += [f"{name} (nnodes is 1)" for name in addresses]
    if config.tp_size * config.pp_size == 1:
        found += [f"{name} (there is one rank)" for name in given("dist_timeout_s")]
    backend = getattr(config, "backend", "local")
    if backend != "ray":
        replicas = given("ray_address", "min_replicas", "max_replicas", "scale_up_requests")
        found += [f"{name} (backend is {backend})" for name in replicas]
        if config.dp_size == 1 or config.enable_dp_attention:
            routing = ("routing_policy", "balance_tokens", "balance_factor")
            found += [f"{name} (there is one engine)" for name in given(*routing)]
    elif given("scale_up_requests") and not given("max_replicas"):
        found.append("scale_up_requests (max_replicas is not set)")
    return found


def _pointless_for_device(config: EngineConfig) -> list[str]:
    """What is pointless on the device, and what of CUDA's another option makes so."""
    kind = device_type(config.device)
    if kind == "auto":
        return []
    idle = {} if kind == "cuda" else dict(CUDA_ALONE)
    if kind != "cpu":
        defaults = {name: option_fields(EngineConfig)[name].default for name in CPU_ALONE}
        idle |= {name: (default,) for name, default in defaults.items()}
    if kind == "mps":
        idle["deterministic"] = (False,)
    given = [name for name, values in idle.items() if getattr(config, name) not in values]
    found = [f"{name} (device is {config.device})" for name in given]
    if kind == "cpu" and config.deterministic and config.cpu_kernels == "torch":
        found.append("deterministic (cpu_kernels is torch)")
    if kind == "cuda" and config.disable_cuda_graph:
        sizes = ("cuda_graph_max_bs", "cuda_graph_max_tokens")
        given = [name for name in sizes if getattr(config, name)]
        given += ["cuda_graph_capture"] if config.cuda_graph_capture != "start" else []
        found += [f"{name} (disable_cuda_graph is set)" for name in given]
    if kind == "cuda" and config.enable_torch_compile:
        if config.deterministic:
            found.append("enable_torch_compile (deterministic is set)")
        elif config.tp_size > 1:
            found.append(f"enable_torch_compile (tp_size is {config.tp_size})")
    return found
