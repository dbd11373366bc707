"""KV groups: layers that share one page table because they keep the same tokens.

A model declares its groups; allocator, page table and tree work per group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KVGroupKind = Literal["paged_full", "paged_window", "latent", "state"]


@dataclass(frozen=True, slots=True)
class KVGroup:
    """``layers`` that keep all tokens (``paged_full``) or the last ``window`` (``paged_window``).

    ``latent`` (MLA) and ``state`` (Mamba, linear attention) name kinds that models may declare
    later; the cache refuses them today.
    """

    kind: KVGroupKind
    layers: tuple[int, ...]
    window: int | None = None

    def __post_init__(self) -> None:
        assert (self.kind == "paged_window") == (self.window is not None), (
            f"a window belongs to paged_window and to it alone: {self}"
        )

    def first_needed_page(self, num_tokens: int, page_size: int) -> int:
        """Index of the first page that a token at position ``num_tokens`` still reads."""
        if self.window is None:
            return 0
        return max(0, num_tokens - self.window + 1) // page_size
