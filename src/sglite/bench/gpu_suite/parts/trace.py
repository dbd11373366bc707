"""A trace of decode steps for Perfetto or chrome://tracing, and how busy the device is in it."""

from __future__ import annotations

from sglite.bench.gpu_suite.driving import runner_for
from sglite.bench.gpu_suite.parts.decode_steps import StepsAlone, kernel_rows
from sglite.bench.gpu_suite.profiling import profiled
from sglite.bench.gpu_suite.suite import Suite

FILE = "decode-steps.trace.json.gz"


def run(suite: Suite) -> None:
    """Write the trace of some steps."""
    sizes = suite.sizes
    runner = runner_for(suite, sizes.model)
    steps = StepsAlone(runner, sizes.traced_batch, suite)
    profile = profiled(lambda: steps.go(sizes.traced_steps), suite.device, trace=suite.out / FILE)
    steps.end()
    suite.recorder.detail("file", FILE)
    suite.recorder.detail("kernels", kernel_rows(profile, sizes.traced_steps))
    busy = profile.busy_s / max(profile.span_s, 1e-9)
    suite.figure(f"busy under the profiler, batch {sizes.traced_batch}", 100 * busy, "%")
