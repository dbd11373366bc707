"""What is measured: the options of the engine, and what its model's files say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from sglite.bench.parallel import parallel_settings
from sglite.bench.suite.floors import Floor, Storage, storage_of
from sglite.bench.suite.jobs import Job
from sglite.bench.suite.machine import Rates
from sglite.bench.suite.workloads import HIGHEST_ID, longest_sequence
from sglite.config import EngineConfig
from sglite.kvcache.kv_pool import resolve_kv_dtype, row_bytes
from sglite.models.spec import DecoderSpec


@dataclass(frozen=True, slots=True)
class Target:
    """A model with the options that sglite runs it with.

    ``weight_bytes`` are those of a weight where it takes the fewest without a loss: a bfloat16
    checkpoint need not be read as float32 because activations are.
    """

    config: EngineConfig
    spec: DecoderSpec
    dtype: torch.dtype
    weight_bytes: int

    @property
    def model(self) -> str | None:
        """Directory or hub id; None: the embedded model."""
        return self.config.model_path

    @property
    def dtype_name(self) -> str:
        """As in ``--dtype``."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def quantization(self) -> str | None:
        """Of the weights; None where they have the type of the activations."""
        return self.config.quantization

    @property
    def parallel(self) -> dict[str, Any]:
        """``tp_size`` and so on, where they are not 1."""
        return parallel_settings(self.config.to_dict())

    def engine_options(self) -> tuple[str | None, dict[str, Any]]:
        """The model and the keywords for ``LLM``."""
        options = self.config.to_dict()
        return options.pop("model_path"), options

    def floor(self, rates: Rates) -> Floor:
        """The roofline of this model on a machine of these rates."""
        return Floor(self.spec, self._storage(), rates)

    def why_not(self, job: Job, shrink: int) -> str | None:
        """Why the model cannot take what the job asks; None where it can."""
        if self.spec.vocab_size < HIGHEST_ID:
            return (
                f"the workloads draw from {HIGHEST_ID:,} token ids, and this model has "
                f"{self.spec.vocab_size:,}"
            )
        context_length = self.config.context_length or self.spec.context_length
        needed = longest_sequence(job.workload.write(0, shrink))
        if needed <= context_length:
            return None
        return (
            f"{job.name} needs a context of {needed:,} tokens, and this model has "
            f"{context_length:,}"
        )

    def _storage(self) -> Storage:
        storage = storage_of(
            self.weight_bytes, self.quantization, self.config.quantization_group_size
        )
        kv_dtype = resolve_kv_dtype(self.config.kv_cache_dtype, self.dtype)
        head_dim = self.spec.head_dim
        return replace(storage, kv_bytes=row_bytes(kv_dtype, head_dim) / head_dim)


def read_target(config: EngineConfig) -> Target:
    """Read the model's config.json. Raises ConfigError and ModelLoadError."""
    from sglite.models.hub import resolve_model_directory
    from sglite.models.loader import read_model_info

    source, revision = config.model_source, config.revision
    directory = resolve_model_directory(config.model_path, source=source, revision=revision)
    info = read_model_info(directory)
    dtype = info.dtype(config.dtype)
    checkpoint_bytes = 2 if info.hf_config.dtype in ("bfloat16", "float16") else 4
    return Target(config, info.spec, dtype, min(dtype.itemsize, checkpoint_bytes))
