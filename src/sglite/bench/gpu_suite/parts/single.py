"""One user alone: tokens per second of one stream, and the time to its first token."""

from __future__ import annotations

import statistics

from sglite.bench.gpu_suite.driving import runner_for
from sglite.bench.gpu_suite.roofline import decode_step_s, prefill_s
from sglite.bench.gpu_suite.suite import Suite
from sglite.bench.gpu_suite.workload import equal_batch

NUM_RUNS = 3
NUM_FIRST_TOKENS = 5
NUM_PIECES = 4


def run(suite: Suite) -> None:
    """A stream from an empty context on; then prompts of several lengths, one token each."""
    measure_stream(suite)
    measure_first_token(suite)


def measure_stream(suite: Suite) -> None:
    """The median of three streams, as a whole and by quarters of the context."""
    sizes, shape, rates = suite.sizes, suite.sizes.model, suite.rates()
    runner = runner_for(suite, shape)
    asks = equal_batch(1, 1, sizes.stream_tokens, vocab=shape.vocab)
    runs = []
    for _ in range(1 + NUM_RUNS):
        runner.forget()
        runs.append(runner.run(asks))
    turns = [each.seconds_of(each.turns_of(1)) for each in runs[1:]]
    seconds = statistics.median(sum(each) for each in turns)
    count = len(turns[0])
    limit = count / sum(decode_step_s(shape, [length], rates) for length in range(2, count + 2))
    suite.figure("one stream", count / seconds, "tok/s", limit)
    piece = max(1, count // NUM_PIECES)
    for first in range(0, piece * NUM_PIECES, piece):
        medians = [statistics.median(each[first : first + piece]) for each in turns if each[first:]]
        middle = first + piece // 2
        suite.figure(
            f"one stream, step at context {middle:,}",
            statistics.median(medians) * 1e6,
            "us",
            decode_step_s(shape, [middle], rates) * 1e6,
        )


def measure_first_token(suite: Suite) -> None:
    """The median over prompts that share nothing."""
    shape, rates = suite.sizes.model, suite.rates()
    runner = runner_for(suite, shape)
    for length in suite.sizes.first_token_prompts:
        asks = equal_batch(1 + NUM_FIRST_TOKENS, length, 1, vocab=shape.vocab, seed=length)
        seconds = [runner.run([ask]).seconds for ask in asks][1:]
        limit_ms = prefill_s(shape, [length], rates) * 1e3
        name = f"first token, {length:,} tokens of prompt"
        suite.figure(name, statistics.median(seconds) * 1e3, "ms", limit_ms)
