"""Which attention backend each kind of runs gets, why, and why not another.

``auto`` takes what :data:`PREFERRED` prefers where that can run, else sglite's own Triton kernels,
else torch. What was asked for by name and cannot run is an error, never replaced in silence.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import NamedTuple, get_args

import torch

from sglite.attention.backend import AttentionBackend, AttentionShape, Kind
from sglite.attention.fa3_backend import FA3Backend
from sglite.attention.flashinfer_backend import FlashInferBackend
from sglite.attention.torch_backend import TorchBackend
from sglite.attention.triton_backend import TritonBackend
from sglite.errors import ConfigError

NAMES = ("triton", "flashinfer", "fa3", "torch")
MODULES = {
    "triton": ("triton",),
    "flashinfer": ("flashinfer",),
    "fa3": ("flash_attn_interface", "sgl_kernel"),
}
"""Top-level modules of which one must be there."""

HALVES = (torch.bfloat16, torch.float16)
FLOATS = (*HALVES, torch.float32)
FLASHINFER_HEAD_DIMS = (64, 128, 256)


class Preference(NamedTuple):
    """A backend that beats the Triton kernels, and by what."""

    name: str
    reason: str


PREFERRED: dict[tuple[int, Kind], Preference] = {
    (9, "prefill"): Preference("fa3", "leads in long prompts on Hopper"),
}
"""By major compute capability and kind; what is not listed is left to the Triton kernels.

Prefill on Hopper: published figures of FlashAttention 3, 650 to 750 TFLOP/s, where kernels in
Triton reach 500 to 600. In decode it is behind on short contexts, so it is not preferred there.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionFacts:
    """What the choice depends on: device, model and what is installed.

    ``device_type`` is cpu, cuda or mps, ``capability`` the compute capability of an NVIDIA GPU; of
    AMD's, which torch calls cuda too, it is None.
    ``installed`` names backends, see :func:`installed_backends`.
    """

    device_type: str
    capability: tuple[int, int] | None
    installed: frozenset[str]
    head_dim: int
    dtype: torch.dtype
    kv_dtype: torch.dtype
    deterministic: bool = False


@dataclass(frozen=True, slots=True)
class Backends:
    """The backend of each kind, and a line of explanation for each."""

    prefill: str
    decode: str
    reasons: dict[Kind, str]


def installed_backends() -> frozenset[str]:
    """Backends whose library is installed; whether it can be loaded shows when it is used."""
    found = {
        name
        for name, modules in MODULES.items()
        if any(importlib.util.find_spec(module) is not None for module in modules)
    }
    return frozenset({*found, "torch"})


def choose_backends(
    attention_backend: str,
    facts: AttentionFacts,
    *,
    prefill: str | None = None,
    decode: str | None = None,
) -> Backends:
    """What the options of the same names come to; ``prefill`` and ``decode`` override the first.

    ``attention_backend`` is auto, one name or a pair "prefill,decode". Raises ConfigError for a
    backend that does not exist or cannot run here.
    """
    words = [word.strip() for word in attention_backend.split(",")]
    if len(words) > 2:
        raise ConfigError(
            f"attention_backend {attention_backend!r} names {len(words)} backends; give one, or "
            "two as PREFILL,DECODE"
        )
    wanted: dict[Kind, str] = {"prefill": prefill or words[0], "decode": decode or words[-1]}
    chosen = {kind: _choose(name, kind, facts) for kind, name in wanted.items()}
    reasons = {kind: f"{choice.name}: {choice.reason}" for kind, choice in chosen.items()}
    return Backends(chosen["prefill"].name, chosen["decode"].name, reasons)


def why_not(name: str, facts: AttentionFacts) -> str | None:
    """Why a backend cannot run: what is missing, and what to do. None where it can."""
    if facts.device_type != "cuda":
        reason = f"{name} needs a CUDA device, not {facts.device_type}; choose torch or auto"
        return None if name == "torch" else reason
    if facts.deterministic and name in ("flashinfer", "torch"):
        return (
            f"{name} sums a row's keys in an order that depends on the batch, which deterministic "
            "forbids; choose triton or fa3"
        )
    if name == "torch":
        return None
    if name not in facts.installed:
        packages = {"fa3": "flash-attn-3 or sgl-kernel", "flashinfer": "flashinfer-python"}
        return f"{name} is not installed; install {packages.get(name, name)} or choose another"
    return _why_not_here(name, facts)


def _why_not_here(name: str, facts: AttentionFacts) -> str | None:
    """Limits of a library that is installed: device, types, sizes."""
    capability = facts.capability
    if capability is None:
        reason = f"{name} is made for NVIDIA GPUs; choose triton"
        return None if name == "triton" else reason
    here = f"compute capability {capability[0]}.{capability[1]}"
    if name == "fa3" and capability[0] != 9:
        return f"fa3 needs Hopper, compute capability 9.0; this device has {here}; choose triton"
    if capability < (8, 0):
        return f"{name} needs compute capability 8.0; this device has {here}; choose torch"
    for what, dtype in (("dtype", facts.dtype), ("kv_cache_dtype", facts.kv_dtype)):
        if dtype not in (FLOATS if name == "triton" else HALVES):
            return f"{name} does not know {what} {_name(dtype)}; choose another dtype or backend"
    if name == "triton":
        return None
    if facts.kv_dtype != facts.dtype:
        types = f"kv_cache_dtype {_name(facts.kv_dtype)} differs from dtype {_name(facts.dtype)}"
        return f"{name} needs keys of the queries' type: {types}; choose triton"
    if name == "flashinfer" and facts.head_dim not in FLASHINFER_HEAD_DIMS:
        known = ", ".join(map(str, FLASHINFER_HEAD_DIMS))
        return f"flashinfer knows head_dim {known}, not {facts.head_dim}; choose triton"
    if name == "fa3" and (facts.head_dim > 256 or facts.head_dim % 8):
        return f"fa3 knows head_dim up to 256 in eights, not {facts.head_dim}; choose triton"
    return None


def make_backend(
    name: str,
    kind: Kind,
    shape: AttentionShape,
    device: torch.device,
    *,
    max_seq_len: int,
    num_multiprocessors: int,
    deterministic: bool = False,
) -> AttentionBackend:
    """A backend that was chosen, for one KV group and kind of runs.

    No sequence gets longer than ``max_seq_len``. Raises ConfigError where the library cannot be
    loaded.
    """
    assert kind in get_args(Kind), kind
    if name == "torch":
        return TorchBackend(page_size=shape.page_size, window=shape.window)
    if name == "fa3":
        return FA3Backend(kind, shape, deterministic=deterministic)
    if name == "flashinfer":
        return FlashInferBackend(kind, shape, device)
    assert name == "triton", name
    return TritonBackend(
        shape,
        is_decode=kind == "decode",
        max_seq_len=max_seq_len,
        num_multiprocessors=num_multiprocessors,
        is_deterministic=deterministic,
    )


def _choose(name: str, kind: Kind, facts: AttentionFacts) -> Preference:
    """One kind's backend, with the reason for it."""
    if name != "auto":
        if name not in NAMES:
            raise ConfigError(
                f"{kind} attention backend {name!r} does not exist; choose auto, "
                f"{', '.join(NAMES[:-1])} or {NAMES[-1]}"
            )
        reason = why_not(name, facts)
        if reason is not None:
            raise ConfigError(f"{kind} attention backend {name} cannot run: {reason}")
        return Preference(name, "asked for by name")
    refusals: list[str] = []
    for preference in _candidates(kind, facts):
        reason = why_not(preference.name, facts)
        if reason is None:
            return preference._replace(reason="; ".join([preference.reason, *refusals]))
        refusals.append(reason)
    raise ConfigError(f"no {kind} attention backend can run here: {'; '.join(refusals)}")


def _candidates(kind: Kind, facts: AttentionFacts) -> list[Preference]:
    """What auto tries, in this order."""
    own = Preference("triton", "sglite's own kernels")
    last = Preference("torch", "runs everywhere")
    if facts.device_type != "cuda":
        return [last]
    major, _ = facts.capability or (0, 0)
    preferred = PREFERRED.get((major, kind))
    if preferred is None or facts.deterministic or preferred.name not in facts.installed:
        return [own, last]
    return [preferred, own, last]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
