"""The headline workload on a model of 14 billion weights, if it fits memory and time."""

from __future__ import annotations

import torch

from sglite.bench.gpu_suite.parts import offline
from sglite.bench.gpu_suite.roofline import workload_s
from sglite.bench.gpu_suite.suite import LeftOutError, Suite
from sglite.bench.gpu_suite.workload import random_batch

START_S = 30.0
SLOWNESS = 2.0
"""How many times the limit the workload may take, for the choice of how much of it to run."""

KV_ROOM_BYTES = 20 << 30
FEW_REQUESTS = 64


def run(suite: Suite) -> None:
    """All 256 requests where there is time for them, else 64."""
    sizes, shape = suite.sizes, suite.sizes.big_model
    suite.close_runner()
    if suite.is_cuda:
        free = torch.cuda.mem_get_info(suite.device)[0]
        if free < shape.num_bytes + KV_ROOM_BYTES:
            raise LeftOutError(f"{free / 2**30:.0f} GiB are free, too little for {shape.name}")
    asks = random_batch(sizes.num_requests, sizes.min_tokens, sizes.max_tokens, vocab=shape.vocab)
    for num_requests in (sizes.num_requests, FEW_REQUESTS):
        seconds = START_S + SLOWNESS * workload_s(shape, asks[:num_requests], suite.rates())
        if seconds < suite.left_s or sizes.is_toy:
            suite.recorder.detail("num_requests", num_requests)
            offline.measure(suite, shape, num_runs=1, num_requests=num_requests)
            suite.close_runner()
            return
    raise LeftOutError(f"{suite.left_s:.0f} s are left, too few for {shape.name}")
