"""What the machine is, and what it gives: the limits of all other figures."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from typing import Any

import torch

from sglite.bench.gpu_suite.roofline import decode_step_s, workload_s
from sglite.bench.gpu_suite.suite import PRODUCT, READ, Suite
from sglite.bench.gpu_suite.timing import Work, seconds_each
from sglite.bench.gpu_suite.workload import random_batch
from sglite.kernels import triton_support
from sglite.kernels.read_sums import read_sums

PROGRAMS_PER_PROCESSOR = 8
PACKAGES = (
    "triton",
    "transformers",
    "numpy",
    "flashinfer-python",
    "flash-attn",
    "flash-attn-3",
    "sgl-kernel",
)


def run(suite: Suite) -> None:
    """Describe the machine, measure it, and restate the limits of the workloads."""
    suite.recorder.detail("machine", describe(suite.device))
    measure_memory(suite)
    measure_products(suite)
    rates, sizes = suite.rates(), suite.sizes
    asks = random_batch(
        sizes.num_requests, sizes.min_tokens, sizes.max_tokens, vocab=sizes.model.vocab
    )
    for shape in (sizes.model, sizes.big_model):
        seconds = workload_s(shape, asks, rates)
        tokens = sum(ask.num_new_tokens for ask in asks)
        suite.recorder.detail(
            f"limits of {shape.name}",
            {
                "offline_s": seconds,
                "offline_tok_s": tokens / seconds,
                "one_stream_tok_s": 1 / decode_step_s(shape, [1], rates),
            },
        )
        suite.say(f"{shape.name}: {tokens / seconds:,.0f} tok/s offline is the limit")


def describe(device: torch.device) -> dict[str, Any]:
    """What a reader needs to compare figures."""
    facts: dict[str, Any] = {
        "system": platform.platform(terse=True),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    for name in PACKAGES:
        try:
            facts[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts |= {
            "gpu": properties.name,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "multiprocessors": properties.multi_processor_count,
            "capability": f"{properties.major}.{properties.minor}",
            "cuda": torch.version.cuda,
            "driver": _driver(),
        }
    return facts


def _driver() -> str | None:
    """Version of the driver and clocks, as nvidia-smi tells them."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    query = "driver_version,clocks.max.sm,clocks.max.mem,power.limit"
    words = [command, f"--query-gpu={query}", "--format=csv,noheader"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() or None


def measure_memory(suite: Suite) -> None:
    """Reads alone, by our kernel and by torch's sum, and copies."""
    x = torch.zeros(suite.sizes.read_bytes // 2, dtype=torch.bfloat16, device=suite.device)
    target = torch.empty_like(x)
    ways: dict[str, tuple[Work, int]] = {
        "torch's sum": (lambda: x.view(torch.int32).sum(), x.nbytes),
        "copy": (lambda: target.copy_(x), 2 * x.nbytes),
    }
    if triton_support.runs_on(x):
        processors = torch.cuda.get_device_properties(suite.device).multi_processor_count
        sums = torch.empty(PROGRAMS_PER_PROCESSOR * processors, device=suite.device)
        ways["Triton's loads"] = (lambda: read_sums(x, sums), x.nbytes)
    rates = {}
    for name, (work, num_bytes) in ways.items():
        rates[name] = num_bytes / _seconds(suite, work) / 1e9
        suite.figure(f"memory, {name}", rates[name], "GB/s")
    del rates["copy"]  # counts what it writes, too
    suite.figure(READ, max(rates.values()), "GB/s")


def measure_products(suite: Suite) -> None:
    """A large square, and a layer of the model with a chunk's and with a decode's rows."""
    size, shape = suite.sizes.matrix_size, suite.sizes.model
    square = _product_flop_per_s(suite, size, size, size)
    suite.figure(PRODUCT, square / 1e12, "TFLOP/s")
    for rows in (suite.sizes.chunk, suite.sizes.max_rows):
        flop_per_s = _product_flop_per_s(suite, rows, shape.hidden, 2 * shape.ffn)
        name = f"product of {rows:,} rows, {shape.hidden:,} to {2 * shape.ffn:,}"
        suite.figure(name, flop_per_s / 1e12, "TFLOP/s", limit=square / 1e12)


def _product_flop_per_s(suite: Suite, rows: int, inputs: int, outputs: int) -> float:
    x, weight = (
        torch.randn(shape, device=suite.device, dtype=torch.bfloat16)
        for shape in ((rows, inputs), (outputs, inputs))
    )
    return 2 * rows * inputs * outputs / _seconds(suite, lambda: x @ weight.t())


def _seconds(suite: Suite, work: Work) -> float:
    return seconds_each([work], suite.device, timed_s=suite.sizes.timed_s)
