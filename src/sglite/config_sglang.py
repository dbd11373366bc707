"""Options that users of SGLang and its small relatives will try: what to do with each.

Three kinds. *Equivalent*: sglite has it under another name, or always does it. *Not yet*: planned,
so the message says so. *Never*: refused by design, and the message says why.
"""

from __future__ import annotations

from typing import Any

from sglite.errors import ConfigError

# name -> value given -> options set instead. No options: sglite does it anyway, or has no need.
EQUIVALENTS: dict[str, dict[Any, dict[str, Any]]] = {
    "enable_mixed_chunk": {True: {}, False: {}},
    "disable_overlap_schedule": {True: {"max_in_flight": 1}, False: {"max_in_flight": 2}},
    "enable_cuda_graph": {
        True: {"disable_cuda_graph": False},
        False: {"disable_cuda_graph": True},
    },
    "enable_decode_cuda_graph": {True: {}, False: {"cuda_graph_max_bs": 0}},
    "enable_piecewise_cuda_graph": {True: {}, False: {"cuda_graph_max_tokens": 0}},
    "disable_piecewise_cuda_graph": {True: {"cuda_graph_max_tokens": 0}, False: {}},
    "compile_model": {
        True: {"enable_torch_compile": True},
        False: {"enable_torch_compile": False},
    },
    "trust_remote_code": {False: {}},
    "model_mode": {"no-cache": {"disable_radix_cache": True}},
    "cache_type": {
        "radix": {"disable_radix_cache": False},
        "naive": {"disable_radix_cache": True},
    },
    "enable_cache_report": {True: {}, False: {}},
    "disable_pynccl": {True: {}, False: {}},
    "disable_custom_all_reduce": {True: {}, False: {}},
    "dummy_weight": {True: {"load_format": "dummy"}, False: {}},
}

_TRUTH = {"true": True, "1": True, "false": False, "0": False}

NOT_YET: dict[str, str] = {
    "decode_log_interval": "every step is logged at --log-level debug, none otherwise",
    "num_tokenizer": "texts are encoded by the HTTP process",
    **dict.fromkeys(
        ("enable_hierarchical_cache", "hicache_ratio", "hicache_size", "hicache_write_policy"),
        "KV lives in one tier of memory",
    ),
    **dict.fromkeys(
        ("speculative_algorithm", "speculative_num_draft_tokens"), "nothing is speculated"
    ),
    **dict.fromkeys(("lora_paths", "max_loras_per_batch"), "adapters are not loaded"),
    "sampling_backend": "there is one sampler",
    "disaggregation_mode": "one process prefills and decodes",
    "cuda_graph_bs": "cuda_graph_max_bs bounds the sizes of graphs",
    "disable_cuda_graph_padding": "a batch runs on the graph of the next larger size",
    "max_prefill_tokens": "chunked_prefill_size bounds the prompt tokens of a step",
}

# Values of the options above and below that ask for nothing; None and False always do.
HARMLESS: dict[str, tuple[str, ...]] = {
    "disaggregation_mode": ("null",),
    "hicache_size": ("0",),
    "decode_log_interval": ("40",),
    "num_tokenizer": ("0", "1"),
}

NEVER: dict[str, str] = {
    "trust_remote_code": "sglite runs no code that comes with a model",
    "custom_logit_processor": "sglite runs no code that comes with a request",
}


def is_foreign(name: str) -> bool:
    """True for the keyword of an SGLang option that sglite does not have under that name."""
    return name in EQUIVALENTS or name in NOT_YET or name in NEVER


def is_harmless(name: str, value: Any) -> bool:
    """True where ``value`` asks for nothing that sglite lacks; it may be text, as flags are."""
    is_refused = name in NOT_YET or name in NEVER
    text = str(value).lower()
    return is_refused and (text in ("none", "false") or text in HARMLESS.get(name, ()))


def translate(name: str, value: Any, *, label: str) -> dict[str, Any]:
    """The options that stand for an SGLang option; ConfigError where there are none.

    A value that asks for nothing, such as ``hicache_size=0``, stands for no options.
    ``label`` is what the message calls it: keyword, flag or file key.
    """
    choices = EQUIVALENTS.get(name, {})
    if isinstance(value, str) and {True, False} & choices.keys():
        value = _TRUTH.get(value.lower(), value)
    for choice, options in choices.items():
        if value == choice:
            return options
    if is_harmless(name, value):
        return {}
    if name in NEVER:
        raise ConfigError(f"{label} is not supported: {NEVER[name]}")
    if name in NOT_YET:
        raise ConfigError(f"{label} is not supported yet: {NOT_YET[name]}")
    allowed = ", ".join(str(choice) for choice in choices)
    raise ConfigError(f"{label}: {value!r} is not supported; give one of {allowed}")
