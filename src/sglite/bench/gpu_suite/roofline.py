"""The least time that a GPU's bandwidth and arithmetic leave for a step and for a whole workload.

Each group of operations (products of the layers, attention, head) takes the longer of its bytes
over the bandwidth and its operations over the rate of products; groups come one after the other.
All prompts are computed first, then everything decodes in lock step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sglite.bench.gpu_suite.shapes import BYTES, ModelShape
from sglite.bench.gpu_suite.workload import Ask

PREFILL_CHUNK = 16384


@dataclass(frozen=True, slots=True)
class Rates:
    """What a device reads, and what it computes in bfloat16, per second."""

    bytes_per_s: float
    flop_per_s: float

    def seconds(self, num_bytes: float, num_operations: float) -> float:
        """The longer of the two."""
        return max(num_bytes / self.bytes_per_s, num_operations / self.flop_per_s)


NOMINAL = Rates(4.3e12, 790e12)
"""About what an H200 gives, where nothing was measured."""


def decode_step_s(shape: ModelShape, lengths: Sequence[int], rates: Rates) -> float:
    """Seconds of one token each for sequences of these lengths, the new tokens among them."""
    rows, num_keys = len(lengths), sum(lengths)
    return (
        rates.seconds(BYTES * shape.body_parameters, 2 * shape.body_parameters * rows)
        + rates.seconds(num_keys * shape.kv_bytes, shape.attention_flop(num_keys))
        + rates.seconds(BYTES * shape.head_parameters, 2 * shape.head_parameters * rows)
    )


def prefill_s(shape: ModelShape, lengths: Sequence[int], rates: Rates) -> float:
    """Seconds for whole prompts, in batches of up to 16,384 tokens."""
    seconds, batch = 0.0, list[int]()
    for length in [*lengths, PREFILL_CHUNK + 1]:  # the last closes the last batch
        if batch and sum(batch) + length > PREFILL_CHUNK:
            seconds += _prefill_batch_s(shape, batch, rates)
            batch = []
        batch.append(length)
    return seconds


def _prefill_batch_s(shape: ModelShape, lengths: list[int], rates: Rates) -> float:
    tokens, rows = sum(lengths), len(lengths)
    pairs = sum(length * (length + 1) / 2 for length in lengths)
    return (
        rates.seconds(BYTES * shape.body_parameters, 2 * shape.body_parameters * tokens)
        + rates.seconds(2 * tokens * shape.kv_bytes, shape.attention_flop(pairs))
        + rates.seconds(BYTES * shape.head_parameters, 2 * shape.head_parameters * rows)
    )


def workload_s(shape: ModelShape, asks: Sequence[Ask], rates: Rates) -> float:
    """Seconds for a whole batch of requests."""
    seconds = prefill_s(shape, [len(ask.token_ids) for ask in asks], rates)
    left = [ask.num_new_tokens - 1 for ask in asks]  # the prompt gives the first token
    lengths = [len(ask.token_ids) + 1 for ask in asks]
    for step in range(max(left, default=0)):
        running = [length + step for length, more in zip(lengths, left, strict=True) if more > step]
        seconds += decode_step_s(shape, running, rates)
    return seconds
