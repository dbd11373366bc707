"""The same tokens as the CPU reference, whatever graphs, overlap, chunks, cache and backends do.

Pieces are the graphs of what lies between the attentions of a chunk.

Small models with the same float32 weights on both sides answer the same prompts greedily. Where a
token differs, the reference must have found it as likely as its own, up to a rounding; what follows
in that answer is another text and is not compared.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import torch

from sglite.attention.backend import AttentionShape
from sglite.bench.gpu_suite.attention_backends import all_backends
from sglite.bench.gpu_suite.checkpoint import write_checkpoint
from sglite.bench.gpu_suite.driving import (
    GREEDY,
    Run,
    engine_config,
    model_directory,
    start_runner,
)
from sglite.bench.gpu_suite.shapes import ModelShape, tiny
from sglite.bench.gpu_suite.suite import Suite
from sglite.bench.gpu_suite.workload import Ask
from sglite.request import LogprobParams, SamplingParams

NEAR_TIE = 1e-4
"""Log-probabilities this close may change places in float32."""

TOP = LogprobParams(top_num=8)
WINDOW = 40
DRAWN = SamplingParams(
    temperature=0.8, top_p=0.9, top_k=50, min_p=0.01, ignore_eos=True, sampling_seed=11
)
SHARE_OF_DRAWN = 0.75
"""Of drawn answers, those that must be equal: a near-tie of a race leaves no trace to judge by."""


SMALL: dict[str, Any] = {
    "dtype": "float32",
    "load_format": "auto",
    "max_running_requests": 8,
    "context_length": 1024,
    "max_total_tokens": 8192,
}
"""Options of every engine here."""


@dataclass(frozen=True, slots=True)
class Variant:
    """An engine to compare, by the options in which it differs from the usual one."""

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    sampling: SamplingParams = GREEDY


PLAIN = Variant("no graphs, no overlap", {"disable_cuda_graph": True, "max_in_flight": 1})
VARIANTS = (
    Variant("as it comes"),
    PLAIN,
    Variant("no graphs", {"disable_cuda_graph": True}),
    Variant("no pieces", {"cuda_graph_max_tokens": 0}),
    Variant("pieces alone", {"cuda_graph_max_bs": 0}),
    Variant("no overlap", {"max_in_flight": 1}),
    Variant("small chunks", {"chunked_prefill_size": 16}),
    Variant("no prefix cache", {"disable_radix_cache": True}),
    Variant("small pages", {"page_size": 16}),
    Variant("deterministic", {"deterministic": True}),
    Variant("drawn", sampling=DRAWN),
)


def run(suite: Suite) -> None:
    """All variants on Qwen3, two on every other family."""
    suite.close_runner()
    backends = backend_variants(suite)
    for family in ("qwen3", "llama", "mistral", "qwen2"):
        extra = {"sliding_window": WINDOW} if family == "mistral" else {}
        variants = (*VARIANTS, *backends) if family == "qwen3" else VARIANTS[:2]
        compare_family(suite, tiny(family, **extra), variants)
    if suite.is_cuda and suite.left_s > 0:  # torch on a CPU keeps to no bits
        compare_bits(suite, tiny("qwen3"))


def backend_variants(suite: Suite) -> list[Variant]:
    """One for each attention backend that computes in float32; those of libraries do not."""
    shape = AttentionShape(
        num_heads=4, num_kv_heads=2, head_dim=32, page_size=64, dtype=torch.float32, scale=1.0
    )
    if not suite.is_cuda:
        return []
    return [
        Variant(f"attention by {name}", {"attention_backend": name})
        for name in all_backends(suite.device, shape, "decode")
    ]


def compare_family(suite: Suite, shape: ModelShape, variants: tuple[Variant, ...]) -> None:
    """Every variant against the reference, while there is time."""
    directory = model_directory(suite, shape)
    write_checkpoint(directory, torch.float32)
    on_cpu = {
        "device": "cpu",
        "cpu_kernels": "torch",
        "page_size": 16,
        "max_in_flight": 1,
        "chunked_prefill_size": -1,
    }
    asks = prompts(suite, shape)
    references = {}
    reference = start_runner(engine_config(suite, **{**SMALL, **on_cpu}), directory)
    for sampling, logprobs in ((GREEDY, TOP), (DRAWN, None)):
        references[sampling] = reference.run(asks, sampling, logprobs=logprobs)
        reference.forget()
    reference.close()
    for variant in variants:
        if suite.left_s < 0:
            suite.recorder.detail("left out", f"{shape.name} from {variant.name!r} on")
            return
        runner = start_runner(engine_config(suite, **{**SMALL, **variant.changes}), directory)
        done = runner.run(asks, variant.sampling)
        # Once more, now with a cache that holds the prompts.
        again = runner.run(asks, variant.sampling)
        runner.close()
        for name, each in (("", done), (", prompts cached", again)):
            passed, detail = judge(references[variant.sampling], each, variant)
            suite.check(f"{shape.name}, {variant.name}{name}", passed, detail)


def compare_bits(suite: Suite, shape: ModelShape) -> None:
    """With ``deterministic``, an answer alone has the tokens and bits that it has among others."""
    directory = model_directory(suite, shape)
    write_checkpoint(directory, torch.float32)
    runner = start_runner(engine_config(suite, **SMALL, deterministic=True), directory)
    asks = prompts(suite, shape)
    together = runner.run(asks, logprobs=TOP)
    alone = []
    for ask in asks:
        runner.forget()
        alone.append(runner.run([ask], logprobs=TOP))
    runner.close()
    passed, detail = same_bits(together, alone)
    suite.check(f"{shape.name}, deterministic, the same bits alone", passed, detail)


def same_bits(together: Run, alone: list[Run]) -> tuple[bool, str]:
    """Whether tokens and log-probabilities are equal, and of how many answers they are not."""
    differing = [
        number
        for number, (tokens, scores, each) in enumerate(
            zip(together.outputs, together.logprobs, alone, strict=True)
        )
        if (tokens, scores) != (each.outputs[0], each.logprobs[0])
    ]
    return not differing, f"{len(differing)} of {len(alone)} answers differ alone"


def prompts(suite: Suite, shape: ModelShape) -> list[Ask]:
    """Lengths from 1 on; every second prompt begins with the same tokens."""
    sizes, draws = suite.sizes, random.Random(3)
    shared = [draws.randrange(shape.vocab) for _ in range(sizes.parity_longest // 2)]
    asks = []
    for number in range(sizes.parity_prompts):
        length = 1 + number * (sizes.parity_longest - 1) // max(1, sizes.parity_prompts - 1)
        own = [draws.randrange(shape.vocab) for _ in range(length)]
        asks.append(Ask([*shared, *own] if number % 2 else own, sizes.parity_tokens))
    return asks


def judge(reference: Run, done: Run, variant: Variant) -> tuple[bool, str]:
    """Whether the answers agree, and in how many they differ."""
    differing = [
        number
        for number, (wanted, given) in enumerate(zip(reference.outputs, done.outputs, strict=True))
        if wanted != given
    ]
    total = len(reference.outputs)
    if variant.sampling is not GREEDY:
        share = 1 - len(differing) / total
        return share >= SHARE_OF_DRAWN, f"{total - len(differing)} of {total} answers are equal"
    gaps = [first_gap(reference, done, number) for number in differing]
    worst = max(gaps, default=0.0)
    detail = f"{len(differing)} of {total} answers part, at a gap of {worst:.2g} at most"
    return worst <= NEAR_TIE, detail


def first_gap(reference: Run, done: Run, number: int) -> float:
    """How much less likely the reference found the first token that differs than its own."""
    wanted, given = reference.outputs[number], done.outputs[number]
    if len(wanted) != len(given):
        return float("inf")
    place = next(i for i, (a, b) in enumerate(zip(wanted, given, strict=True)) if a != b)
    top = dict(reference.logprobs[number][place].top)
    if given[place] not in top:
        return float("inf")
    return top[wanted[place]] - top[given[place]]
