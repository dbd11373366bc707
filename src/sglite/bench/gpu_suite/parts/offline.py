"""The headline: 256 random requests answered as fast as can be, as output tokens per second."""

from __future__ import annotations

from sglite.bench.gpu_suite.driving import SAMPLED, Run, Runner, runner_for
from sglite.bench.gpu_suite.roofline import workload_s
from sglite.bench.gpu_suite.shapes import ModelShape
from sglite.bench.gpu_suite.suite import Suite
from sglite.bench.gpu_suite.workload import Ask, equal_batch, random_batch

NUM_RUNS = 2


def run(suite: Suite) -> None:
    """A warm-up with other prompts, then the same workload twice, the cache emptied between."""
    measure(suite, suite.sizes.model, num_runs=NUM_RUNS)


def measure(suite: Suite, shape: ModelShape, *, num_runs: int, num_requests: int = 0) -> None:
    """The workload on a model; ``num_requests`` 0 is all of it."""
    sizes = suite.sizes
    runner = runner_for(suite, shape)
    asks = random_batch(sizes.num_requests, sizes.min_tokens, sizes.max_tokens, vocab=shape.vocab)
    asks = asks[: num_requests or None]
    warm_up(suite, runner, shape)
    limit = sum(ask.num_new_tokens for ask in asks) / workload_s(shape, asks, suite.rates())
    for number in range(1, num_runs + 1):
        runner.forget()
        done = runner.run(asks, SAMPLED)
        suite.check("every answer has its length", _has_lengths(asks, done), f"run {number}")
        suite.figure(f"offline, run {number}", done.num_tokens / done.seconds, "tok/s", limit)
        suite.recorder.detail(
            f"run {number}",
            {
                "seconds": done.seconds,
                "input_tokens": sum(len(ask.token_ids) for ask in asks),
                "output_tokens": done.num_tokens,
                "turn_ends_s": [round(end_s, 5) for end_s in done.turn_ends_s],
                "turn_tokens": done.turn_tokens,
            },
        )


def warm_up(suite: Suite, runner: Runner, shape: ModelShape) -> None:
    """A full batch with short answers: every size of a step once, or nearly."""
    sizes = suite.sizes
    asks = equal_batch(sizes.max_rows, sizes.min_tokens, 1, vocab=shape.vocab, seed=7)
    # Answers that end one by one pass through all sizes of a batch.
    asks = [Ask(ask.token_ids, 1 + place % 32) for place, ask in enumerate(asks)]
    runner.run(asks, SAMPLED)
    runner.forget()


def _has_lengths(asks: list[Ask], done: Run) -> bool:
    return [ask.num_new_tokens for ask in asks] == [len(output) for output in done.outputs]
