"""transformers on the same shape and machine, for scale: greedy, with its own cache."""

from __future__ import annotations

import importlib.util
import time
from typing import Any

import torch

from sglite.bench.gpu_suite.driving import model_directory
from sglite.bench.gpu_suite.suite import LeftOutError, Suite

BATCHES = (1, 32)
PROMPT, NEW = 128, 64


def run(suite: Suite) -> None:
    """Tokens per second of ``generate``, alone and for a batch of equal lengths."""
    if importlib.util.find_spec("transformers") is None:
        raise LeftOutError("transformers is not installed")
    suite.close_runner()
    model = make_model(suite)
    divisor = 16 if suite.sizes.is_toy else 1
    for batch in BATCHES:
        ids = torch.randint(0, 900, (batch, PROMPT // divisor), device=suite.device)
        seconds = generate_s(suite, model, ids, NEW // divisor)
        tokens = batch * (NEW // divisor)
        suite.figure(f"transformers, batch {batch}", tokens / seconds, "tok/s")


def make_model(suite: Suite) -> Any:
    """Qwen3 as transformers has it, with whatever weights it makes."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(model_directory(suite, suite.sizes.model))
    with torch.device(suite.device):
        model = AutoModelForCausalLM.from_config(config)
    return model.to(suite.dtype).eval()


@torch.inference_mode()
def generate_s(suite: Suite, model: Any, ids: torch.Tensor, num_new: int) -> float:
    """Seconds of the second of two calls."""
    options = {"max_new_tokens": num_new, "min_new_tokens": num_new, "do_sample": False}
    mask = torch.ones_like(ids)
    model.generate(ids, attention_mask=mask, pad_token_id=0, **options)
    suite.synchronize()
    start_s = time.perf_counter()
    model.generate(ids, attention_mask=mask, pad_token_id=0, **options)
    suite.synchronize()
    return time.perf_counter() - start_s
