"""How large everything is: on a GPU, and for a try on a CPU that takes seconds."""

from __future__ import annotations

from dataclasses import dataclass

from sglite.bench.gpu_suite.shapes import QWEN3_06B, QWEN3_14B, ModelShape, tiny


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What the parts measure with. Lengths and counts are in tokens but where a name says more."""

    is_toy: bool
    model: ModelShape
    big_model: ModelShape
    dtype: str
    num_requests: int
    min_tokens: int
    max_tokens: int
    max_rows: int
    context: int
    chunk: int
    stream_tokens: int
    first_token_prompts: tuple[int, ...]
    batches: tuple[int, ...]
    decode_context: int
    decode_steps: int
    traced_batch: int
    traced_steps: int
    prefill_totals: tuple[int, ...]
    prefill_prompt: int
    parity_prompts: int
    parity_longest: int
    parity_tokens: int
    read_bytes: int
    matrix_size: int
    timed_s: float


FULL = Sizes(
    is_toy=False,
    model=QWEN3_06B,
    big_model=QWEN3_14B,
    dtype="bfloat16",
    num_requests=256,
    min_tokens=100,
    max_tokens=1024,
    max_rows=256,
    context=4096,
    chunk=8192,
    stream_tokens=1024,
    first_token_prompts=(128, 1024, 4000),
    batches=(1, 2, 4, 8, 16, 32, 64, 128, 256),
    decode_context=1024,
    decode_steps=48,
    traced_batch=64,
    traced_steps=20,
    prefill_totals=(8192, 16384),
    prefill_prompt=1024,
    parity_prompts=12,
    parity_longest=300,
    parity_tokens=48,
    read_bytes=4 << 30,
    matrix_size=8192,
    timed_s=0.05,
)

TOY = Sizes(
    is_toy=True,
    model=tiny("qwen3"),
    big_model=tiny("llama"),
    dtype="float32",
    num_requests=6,
    min_tokens=3,
    max_tokens=12,
    max_rows=4,
    context=128,
    chunk=32,
    stream_tokens=16,
    first_token_prompts=(4, 40),
    batches=(1, 4),
    decode_context=24,
    decode_steps=4,
    traced_batch=2,
    traced_steps=2,
    prefill_totals=(32, 64),
    prefill_prompt=16,
    parity_prompts=3,
    parity_longest=24,
    parity_tokens=4,
    read_bytes=1 << 20,
    matrix_size=128,
    timed_s=0.0005,
)
