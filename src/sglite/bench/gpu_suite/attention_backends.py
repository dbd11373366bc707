"""The attention backends that can be had here, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from sglite.attention.backend import AttentionBackend, AttentionShape, BoundAttention, Kind
from sglite.attention.choose import NAMES, AttentionFacts, installed_backends, make_backend, why_not

if TYPE_CHECKING:
    from sglite.kvcache.kv_pool import KVLayer

Make = Callable[[], AttentionBackend]

MAX_SEQ_LEN = 32_768
CPU_PROGRAMS = 4
LAUNCHES: dict[str, dict[str, Any]] = {
    "triton, descriptors": {"uses_descriptors": True},
    "triton, 8 warps": {"num_warps": 8},
    "triton, 2 stages": {"num_stages": 2},
    "triton, 4 stages": {"num_stages": 4},
    "triton, split edges": {"splits_edges": True},
}
"""Other layouts of the Triton kernel for single tokens, to be measured beside its own."""


def all_backends(device: torch.device, shape: AttentionShape, kind: Kind) -> dict[str, Make]:
    """Backends of a kind of runs, and how one is made; without a GPU torch's and, over its
    reference, Triton's."""
    is_cuda = device.type == "cuda"
    facts = AttentionFacts(
        device_type=device.type,
        capability=torch.cuda.get_device_capability(device) if is_cuda else None,
        installed=installed_backends(),
        head_dim=shape.head_dim,
        dtype=shape.dtype,
        kv_dtype=shape.dtype,
    )
    here = [name for name in NAMES if why_not(name, facts) is None]
    processors = CPU_PROGRAMS
    if is_cuda:
        processors = torch.cuda.get_device_properties(device).multi_processor_count
    make = partial(make_backend, max_seq_len=MAX_SEQ_LEN, num_multiprocessors=processors)
    names = here if is_cuda else ["triton", *here]
    return {name: partial(make, name, kind, shape, device) for name in names}


def decode_launches(device: torch.device, shape: AttentionShape) -> dict[str, Make]:
    """The Triton backend of single tokens with every other layout; none without a GPU."""
    if device.type != "cuda" or "triton" not in (made := all_backends(device, shape, "decode")):
        return {}
    return {
        name: partial(OtherLaunch, made["triton"](), changes) for name, changes in LAUNCHES.items()
    }


class OtherLaunch:
    """The Triton backend with its kernel laid out differently on the device."""

    name = "triton"
    can_capture = True

    def __init__(self, inner: AttentionBackend, changes: dict[str, Any]) -> None:
        self._inner = inner
        self._changes = changes
        self.capacities = inner.capacities
        self.plan = inner.plan

    def bind(self, staged: dict[str, torch.Tensor], page_table_WP: torch.Tensor) -> BoundAttention:
        """See :class:`AttentionBackend`."""
        return OtherBound(self._inner.bind(staged, page_table_WP), self._changes)


class OtherBound:
    """The attention of one step by :class:`OtherLaunch`."""

    def __init__(self, inner: BoundAttention, changes: dict[str, Any]) -> None:
        self._inner = inner
        self._changes = changes
        self.prepare = inner.prepare

    def attend(
        self,
        q_TND: torch.Tensor,
        kv_layer: KVLayer,
        out_TND: torch.Tensor,
        *,
        scale: float,
        softcap: float | None,
    ) -> None:
        """See :class:`BoundAttention`."""
        with launched(self._changes):
            self._inner.attend(q_TND, kv_layer, out_TND, scale=scale, softcap=softcap)


@contextmanager
def launched(changes: dict[str, Any]) -> Iterator[None]:
    """Launches of the Triton kernel inside differ by ``changes`` from what it would choose."""
    from sglite.kernels.paged_attention import triton_attention

    launch_of = triton_attention.launch_of
    triton_attention.launch_of = lambda work, k_SKD: replace(launch_of(work, k_SKD), **changes)
    try:
        yield
    finally:
        triton_attention.launch_of = launch_of
