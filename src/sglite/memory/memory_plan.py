"""Where the memory of one rank goes, in numbers.

    left = available - weights - graphs - activations
    on the CPU    pool = min(fraction x left, max_running_requests x context)
    on a GPU      pool = min(left - (1 - fraction) x total, max_running_requests x context)

On the CPU ``available`` is the smaller of what the machine has free and what the container may
still take. On a GPU it is what is free before the weights are loaded: of its memory at most
``fraction`` is in use, by all programs together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sglite.config_values import device_type


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """All ``*_bytes`` are bytes, of one rank.

    Every KV group gets ``num_pages`` pages of ``page_size`` tokens, so ``kv_bytes_per_token`` sums
    over all layers. ``bound_by`` names what limited the pool: ``memory``, ``max_running_requests``
    or ``max_total_tokens``, which is None where nobody gave it. ``activations_follow`` names the
    option that the memory of the largest step grows with. ``is_measured`` says that graphs and
    activations were; they are estimates otherwise.
    """

    device: str
    weights_bytes: int
    graph_bytes: int
    activation_bytes: int
    activations_follow: str
    total_bytes: int
    available_bytes: int
    memory_bound_by: str
    fraction: float
    kv_bytes_per_token: int
    page_size: int
    num_pages: int
    bound_by: str
    max_total_tokens: int | None
    context_length: int
    max_running_requests: int
    prefill_tokens: int
    cuda_graph_max_bs: int
    weights_dtype: str
    dtype: str
    kv_dtype: str
    is_measured: bool = False

    @property
    def is_gpu(self) -> bool:
        """True where ``fraction`` is of all of the device's memory."""
        return device_type(self.device) == "cuda"

    @property
    def left_bytes(self) -> int:
        """Left after weights, graphs and activations; negative where not even these fit."""
        taken = self.weights_bytes + self.graph_bytes + self.activation_bytes
        return self.available_bytes - taken

    @property
    def pool_limit_bytes(self) -> int:
        """What ``fraction`` lets the pool have of it; may be negative as well."""
        if self.is_gpu:
            return self.left_bytes - int((1 - self.fraction) * self.total_bytes)
        return int(self.left_bytes * self.fraction)

    @property
    def kv_bytes_per_page(self) -> int:
        """Bytes of one page in all layers."""
        return self.kv_bytes_per_token * self.page_size

    @property
    def wanted_tokens(self) -> int:
        """Tokens of ``max_running_requests`` full contexts."""
        return self.max_running_requests * self.context_length

    @property
    def num_tokens(self) -> int:
        """Tokens that the pool holds."""
        return self.num_pages * self.page_size

    @property
    def kv_bytes(self) -> int:
        """Bytes of the whole pool."""
        return self.num_pages * self.kv_bytes_per_page

    @property
    def expected_concurrency(self) -> float:
        """Requests of full context length that run together; at most ``max_running_requests``."""
        return min(self.num_tokens / self.context_length, float(self.max_running_requests))

    @property
    def tokens_per_request(self) -> int:
        """Tokens that each request can have when ``max_running_requests`` run together."""
        return min(self.num_tokens // self.max_running_requests, self.context_length)

    def fraction_for(self, num_bytes: int) -> float | None:
        """Least ``fraction``, in thousandths, that gives the pool so much; None where none does."""
        if self.left_bytes < num_bytes:
            return None
        if self.is_gpu:
            exact = 1 - (self.left_bytes - num_bytes) / self.total_bytes
        else:
            exact = num_bytes / max(1, self.left_bytes)
        return min(1.0, math.ceil(exact * 1000) / 1000)
