"""What a decode step takes at every size of a batch, and where its time goes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from sglite.bench.gpu_suite import attention_timing
from sglite.bench.gpu_suite.driving import Runner, runner_for
from sglite.bench.gpu_suite.profiling import Profile, profiled
from sglite.bench.gpu_suite.roofline import decode_step_s
from sglite.bench.gpu_suite.suite import Suite
from sglite.bench.gpu_suite.workload import equal_batch

SHOWN_KERNELS = 25
RESERVE_S = 10.0


def run(suite: Suite) -> None:
    """Steps of whole engines, then the attention alone by every backend that there is."""
    sizes, rates = suite.sizes, suite.rates()
    runner = runner_for(suite, sizes.model)
    for batch in sizes.batches:
        seconds, limit_s = measure_step(suite, runner, batch)
        suite.figure(f"step, batch {batch}", seconds * 1e3, "ms", limit_s * 1e3)
    for batch in (sizes.batches[0], sizes.batches[-1]):
        profile_steps(suite, runner, batch)
    for timed in attention_timing.measure(suite, reserve_s=RESERVE_S):
        suite.figure(timed.name, timed.bytes_per_s / 1e9, "GB/s", rates.bytes_per_s / 1e9)


def measure_step(suite: Suite, runner: Runner, batch: int) -> tuple[float, float]:
    """Seconds of a step in which ``batch`` sequences decode, the median; and the limit of it."""
    sizes, shape = suite.sizes, suite.sizes.model
    num_new = sizes.decode_steps + num_chunks(suite, batch)
    runner.forget()
    asks = equal_batch(batch, sizes.decode_context, num_new, vocab=shape.vocab, seed=batch)
    done = runner.run(asks)
    turns = done.turns_of(batch)
    middle = turns[len(turns) // 2]
    lengths = [sizes.decode_context + middle - first for first in done.first_turns]
    limit_s = decode_step_s(shape, lengths, suite.rates())
    return statistics.median(done.seconds_of(turns)), limit_s


def num_chunks(suite: Suite, batch: int) -> int:
    """Steps in which prompts are computed, and some more: the first answers are so much longer."""
    return 4 + 2 * (batch * suite.sizes.decode_context // suite.sizes.chunk)


def profile_steps(suite: Suite, runner: Runner, batch: int) -> Profile:
    """The kernels of a few steps of ``batch`` sequences, without their prompts."""
    sizes, shape = suite.sizes, suite.sizes.model
    steps = StepsAlone(runner, batch, suite)
    profile = profiled(lambda: steps.go(sizes.traced_steps), suite.device)
    steps.end()
    by_kind = profile.seconds_by_kind()
    total = sum(by_kind.values()) or 1e-9
    for kind, seconds in by_kind.items():
        suite.figure(f"{kind}, batch {batch}", 100 * seconds / total, "%")
    per_step = by_kind.get("attention", 0.0) / sizes.traced_steps
    if per_step:
        num_bytes = batch * sizes.decode_context * shape.kv_bytes
        rate = suite.rates().bytes_per_s / 1e9
        name = f"attention in the engine, batch {batch}"
        suite.figure(name, num_bytes / per_step / 1e9, "GB/s", rate)
    suite.recorder.detail(f"kernels, batch {batch}", kernel_rows(profile, sizes.traced_steps))
    return profile


def kernel_rows(profile: Profile, num_steps: int) -> Sequence[dict[str, object]]:
    """The longest kernels: runs and microseconds of a step."""
    return [
        {
            "name": kernel.name[:120],
            "kind": kernel.kind,
            "runs": round(kernel.count / num_steps, 2),
            "us": round(kernel.seconds / num_steps * 1e6, 2),
        }
        for kernel in profile.kernels[:SHOWN_KERNELS]
    ]


class StepsAlone:
    """A batch that has computed its prompts and decodes as many steps as it is told to."""

    def __init__(self, runner: Runner, batch: int, suite: Suite) -> None:
        sizes = suite.sizes
        self._engine = runner.engine
        runner.forget()
        more = 6 * sizes.traced_steps + num_chunks(suite, batch)
        asks = equal_batch(
            batch, sizes.decode_context, more, vocab=sizes.model.vocab, seed=batch + 1
        )
        requests = [runner.request(ask) for ask in asks]
        self._ids = [request.request_id for request in requests]
        for request in requests:
            self._engine.add(request)
        for _ in range(num_chunks(suite, batch)):
            if len(self._engine.step().tokens) == batch:
                break
        else:
            raise RuntimeError(f"{batch} sequences never decoded together")
        self.go(2)

    def go(self, num_steps: int) -> None:
        """Some turns of the loop."""
        for _ in range(num_steps):
            self._engine.step()

    def end(self) -> None:
        """Abort what runs, and let the engine come to rest."""
        for request_id in self._ids:
            self._engine.abort(request_id)
        while self._engine.has_work:
            self._engine.step()
