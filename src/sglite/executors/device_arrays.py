"""The small arrays of a step, as the host makes them for the device.

Shape legend: R runs. See docs/shapes.md.
"""

from __future__ import annotations

import numpy as np

from sglite.executors.forward_batch import Int32Array
from sglite.scheduler.plan import StepPlan


def run_offsets(plan: StepPlan) -> Int32Array:
    """First packed token of each run, then the number of tokens: ``[R + 1]``."""
    offsets = np.zeros(len(plan.run_lengths) + 1, dtype=np.int32)
    np.cumsum(plan.run_lengths, out=offsets[1:])
    return offsets


def token_arrays(plan: StepPlan, offsets: Int32Array) -> dict[str, Int32Array]:
    """What ``DeviceStep`` reads of the tokens, samples and chunks of ``plan``."""
    rows = np.asarray(plan.run_rows, dtype=np.int32)
    starts = np.asarray(plan.run_starts, dtype=np.int32)
    lengths = np.diff(offsets)
    num_single, num_tokens = plan.run_continues.count(True), int(offsets[-1])
    known = np.full(num_tokens, -1, dtype=np.int32)
    known[num_single:] = plan.token_ids
    sampled = np.asarray(plan.sample_runs, dtype=np.int64)
    return {
        "rows": np.repeat(rows, lengths),
        "positions": np.arange(num_tokens, dtype=np.int32)
        + np.repeat(starts - offsets[:-1], lengths),
        "known": known,
        "sample_rows": rows[sampled],
        "sample_positions": (starts + lengths)[sampled],
        "sample_tokens": offsets[1:][sampled] - np.int32(1),
        "chunk_offsets": offsets[num_single:] - offsets[num_single],
    }
