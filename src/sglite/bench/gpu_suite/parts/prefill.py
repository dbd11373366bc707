"""How fast prompts are computed: operations per second of whole chunks."""

from __future__ import annotations

import statistics

from sglite.bench.gpu_suite.driving import runner_for
from sglite.bench.gpu_suite.suite import Suite
from sglite.bench.gpu_suite.workload import equal_batch

NUM_RUNS = 3


def run(suite: Suite) -> None:
    """Prompts that fill a chunk, many of them or one, each with one token of answer."""
    sizes, shape = suite.sizes, suite.sizes.model
    longest = max(sizes.prefill_totals)
    runner = runner_for(
        suite,
        shape,
        chunked_prefill_size=longest,
        context_length=2 * longest,
        max_running_requests=max(1, longest // sizes.prefill_prompt),
        disable_cuda_graph=True,
        # Room for the prompts of a run and of the one before, which the cache still holds.
        max_total_tokens=4 * longest,
    )
    limit = suite.rates().flop_per_s / 1e12
    for total in sizes.prefill_totals:
        for length in (sizes.prefill_prompt, total):
            asks = [
                equal_batch(total // length, length, 1, vocab=shape.vocab, seed=total + number)
                for number in range(1 + NUM_RUNS)
            ]
            seconds = []
            for each in asks:
                runner.forget()
                seconds.append(runner.run(each).seconds)
            flop = shape.prefill_flop([length] * (total // length))
            rate = flop / statistics.median(seconds[1:]) / 1e12
            what = "prompt" if length == total else "prompts"
            name = f"prefill, {total // length:,} {what} of {length:,}"
            suite.figure(name, rate, "TFLOP/s", limit)
