"""The KV pool that an engine's options ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sglite.config import EngineConfig
from sglite.kvcache.kv_pool import KVPool
from sglite.memory import kv_dtype_for_config

if TYPE_CHECKING:
    from sglite.models.loader import LoadedModel


def make_pool(
    config: EngineConfig,
    model: LoadedModel,
    num_pages: int,
    device: torch.device | str,
    *,
    has_spare_page: bool = False,
) -> KVPool:
    """A pool for ``model`` with ``num_pages`` pages per KV group, as :class:`KVPool` describes.

    Of a pipeline stage it has the stage's layers alone.
    """
    groups = model.spec.kv_groups()
    return KVPool(
        groups,
        [num_pages] * len(groups),
        page_size=config.page_size,
        num_kv_heads=model.model.num_kv_heads,
        head_dim=model.spec.head_dim,
        dtype=kv_dtype_for_config(config, model.hf_config, model.dtype),
        device=device,
        layout=model.model.kv_layout,
        has_spare_page=has_spare_page,
        layers=model.share.layers,
    )
