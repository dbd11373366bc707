"""A first request before anybody is told that the engine is ready: it pays for lazy set-up, and a
model that cannot compute is found out."""

from __future__ import annotations

import queue

from sglite.errors import ModelLoadError
from sglite.ipc.client import InProcessClient
from sglite.request import FinishReason, OutputBatch, Request, RequestFinish, SamplingParams

NUM_TOKENS = 2
TIMEOUT_S = 600.0
NAMESPACE = "\0warm-up"


def warm_up(client: InProcessClient) -> None:
    """Generate a few tokens, and leave no trace in cache and counters.

    Raises ModelLoadError where the model computes no numbers, EngineDeadError where it fails.
    """
    ends: queue.Queue[RequestFinish | Exception] = queue.Queue(maxsize=2)

    def deliver(outputs: OutputBatch) -> None:
        for finish in outputs.finished:
            ends.put_nowait(finish)

    def refuse(request_id: str | None, error: Exception) -> None:
        ends.put_nowait(error)

    request = Request(
        request_id="warm-up",
        prompt_token_ids=[0],
        sampling=SamplingParams(temperature=0.0, ignore_eos=True),
        max_new_tokens=NUM_TOKENS,
        namespace=NAMESPACE,
    )
    client.submit([request], deliver, refuse)
    end = ends.get(timeout=TIMEOUT_S)
    if isinstance(end, Exception):
        raise end
    if end.reason is FinishReason.ERROR:
        raise ModelLoadError(f"the model cannot generate: {end.message}")
    client.call(lambda engine: engine.start_over())
