"""Carries an attention backend through a step as an executor does, on nasty inputs."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
import torch

from sglite.attention.backend import AttentionBackend, AttentionShape, BoundAttention, HostRuns
from sglite.kernels.paged_attention import reference
from tests.kernels.paged_attention.cases import CASES, Inputs, Runs

SCALE = 0.3
GARBAGE_PAGE = 1 << 20
"""In entries of the page table that nobody may follow: far outside of every pool."""


def cases_of(kind: str) -> list[Runs]:
    """The nasty cases with the runs of one kind alone: those that have any, of some length."""
    found = []
    for case in CASES:
        runs = [run for run in case.runs if (run[0] == 1) == (kind == "decode") and run[1] < 200]
        if runs:
            found.append(replace(case, runs=runs))
    return found


def random_case(seed: int, kind: str) -> Runs:
    """Ragged runs with prefixes of any length; every other one has a window."""
    rng = random.Random(seed)
    lengths = [1 if kind == "decode" else rng.randint(2, 12) for _ in range(rng.randint(1, 7))]
    runs = [(length, length + rng.randint(0, 40)) for length in lengths]
    window = rng.choice([None, rng.randint(1, 30)])
    return Runs(f"random-{seed}", runs, page_size=rng.choice([1, 4, 8]), window=window)


def shape_of(inputs: Inputs, *, window: int | None, softcap: float | None = None) -> AttentionShape:
    """What a backend is told of the layers behind ``inputs``."""
    return AttentionShape(
        num_heads=inputs.q_TND.shape[1],
        num_kv_heads=inputs.kv_layer.k_SKD.shape[1],
        head_dim=inputs.q_TND.shape[2],
        page_size=inputs.metadata.page_size,
        dtype=inputs.q_TND.dtype,
        scale=SCALE,
        softcap=softcap,
        window=window,
    )


@dataclass
class Step:
    """The runs of ``inputs`` in scattered rows of an executor's page table."""

    runs: HostRuns
    page_table_WP: torch.Tensor

    @classmethod
    def of(cls, inputs: Inputs, *, num_pages: int = 0, is_replayed: bool = False) -> Step:
        """``num_pages`` is the least width of the page table."""
        table_RP = inputs.metadata.page_table_RP.numpy()
        num_runs = len(table_RP)
        rows_R = np.random.default_rng(3).permutation(num_runs + 2)[:num_runs].astype(np.int32)
        width = max(num_pages, table_RP.shape[1])
        page_table_WP = np.full((num_runs + 2, width), GARBAGE_PAGE, dtype=np.int32)
        for row, pages in zip(rows_R, table_RP, strict=True):
            real = np.flatnonzero(pages)
            page_table_WP[row, real] = pages[real]
        offsets = np.asarray(inputs.metadata.run_offsets, dtype=np.int32)
        seq_lens_R = np.asarray(inputs.metadata.seq_lens, dtype=np.int32)
        runs = HostRuns(rows_R, offsets, seq_lens_R, page_table_WP, 0, is_replayed)
        return cls(runs, torch.from_numpy(page_table_WP.copy()))


def make_buffers(backend: AttentionBackend, num_runs: int) -> dict[str, torch.Tensor]:
    """What the arrays of a plan are staged in, with what an earlier step left there."""
    return {
        name: torch.full((words,), -7, dtype=torch.int32)
        for name, words in backend.capacities(num_runs).items()
    }


def stage(arrays: dict[str, np.ndarray], buffers: dict[str, torch.Tensor]) -> None:
    """Copy a plan to its buffers, zeros behind it."""
    assert arrays.keys() == buffers.keys()
    for name, array in arrays.items():
        assert array.dtype == np.int32, name
        buffers[name].zero_()
        buffers[name][: array.size] = torch.from_numpy(array.ravel().copy())


def attend(bound: BoundAttention, inputs: Inputs, *, softcap: float | None = None) -> torch.Tensor:
    """Every layer's part of a step, twice: nothing may be used up by the first."""
    out_TND = torch.full_like(inputs.q_TND, torch.nan)
    for _ in range(2):
        bound.attend(inputs.q_TND, inputs.kv_layer, out_TND, scale=SCALE, softcap=softcap)
    return out_TND


def run_step(
    backend: AttentionBackend, inputs: Inputs, *, softcap: float | None = None, spare_runs: int = 0
) -> torch.Tensor:
    """An eager step: plan, stage, bind, prepare, attend. ``spare_runs`` more would have room."""
    step = Step.of(inputs)
    buffers = make_buffers(backend, len(step.runs.rows_R) + spare_runs)
    stage(backend.plan(step.runs), buffers)
    bound = backend.bind(buffers, step.page_table_WP)
    bound.prepare()
    return attend(bound, inputs, softcap=softcap)


def expected(inputs: Inputs, *, softcap: float | None = None) -> torch.Tensor:
    """What the specification gives."""
    return reference.paged_attention(
        inputs.q_TND, inputs.kv_layer, inputs.metadata, scale=SCALE, softcap=softcap
    )
