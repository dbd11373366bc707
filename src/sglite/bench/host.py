"""What a decode step costs the host of an accelerator, and how much of it the device waits for.

    python -m sglite.bench.host        (or: sglite bench host)

The engine is whole: scheduler, executor, attention's work lists, overlap. Its device computes
nothing. First a step takes it no time: then all of a step's time is the host's. Then a step takes
4 ms, as one of 256 sequences of a 0.6B model should on an H200, by the bytes that it reads: then
what counts is for how long the device stands still between two steps.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from sglite.attention.backend import AttentionShape
from sglite.attention.triton_backend import TritonBackend
from sglite.config import EngineConfig
from sglite.device.paced import H200_MULTIPROCESSORS, PacedDevice
from sglite.engine.engine import Engine
from sglite.engine.output_processor import OutputProcessor
from sglite.errors import ConfigError
from sglite.executors.decode_graphs import graph_sizes
from sglite.executors.device_executor import DeviceExecutor, GroupBackends
from sglite.kvcache.cache_manager import CacheManager
from sglite.kvcache.groups import KVGroup
from sglite.kvcache.kv_pool import KVPool
from sglite.models.decoder import Decoder
from sglite.models.spec import DecoderSpec, RopeSpec
from sglite.observability.events import EventStream
from sglite.request import Request, SamplingParams
from sglite.scheduler.scheduler import Scheduler

PAGE_SIZE = 64
CONTEXT = 2048
VOCAB = 151_936
DEVICE_STEP_S = 0.004

SPEC = DecoderSpec(
    architecture="Qwen3ForCausalLM",
    vocab_size=VOCAB,
    hidden_size=1024,
    intermediate_size=3072,
    num_layers=28,
    num_attention_heads=16,
    num_kv_heads=8,
    head_dim=128,
    context_length=CONTEXT,
    rms_norm_eps=1e-6,
    rope=RopeSpec(theta=1e6),
    tie_word_embeddings=True,
    qk_norm=True,
    attention_scale=128**-0.5,
    sliding_windows=(None,) * 28,
)


@dataclass(slots=True)
class HostTimes:
    """Seconds of each decode step of the full batch, by what they were spent on."""

    plan: list[float] = field(default_factory=list)
    stage: list[float] = field(default_factory=list)
    commit: list[float] = field(default_factory=list)

    @property
    def total(self) -> list[float]:
        """All of a step."""
        return [sum(parts) for parts in zip(self.plan, self.stage, self.commit, strict=True)]


def make_engine(device: PacedDevice, *, batch: int) -> Engine:
    """An engine of a 0.6B model's shape over ``device``, with room for ``batch`` sequences."""
    num_pages = batch * CONTEXT // PAGE_SIZE + 64
    config = EngineConfig(
        max_running_requests=batch,
        page_size=PAGE_SIZE,
        context_length=CONTEXT,
        chunked_prefill_size=8192,
    )
    model = Decoder(SPEC, dtype=torch.bfloat16, device="meta")
    groups = SPEC.kv_groups()
    pool = KVPool(
        groups,
        [num_pages] * len(groups),
        page_size=PAGE_SIZE,
        num_kv_heads=SPEC.num_kv_heads,
        head_dim=SPEC.head_dim,
        dtype=torch.bfloat16,
        device="meta",
        has_spare_page=True,
    )
    executor = DeviceExecutor(
        model,
        pool,
        device,
        [_backends(group) for group in groups],
        max_rows=batch,
        max_tokens=CONTEXT,
        graph_sizes=graph_sizes(batch),
    )
    events = EventStream()
    cache = CacheManager(groups, [num_pages] * len(groups), config, events)
    scheduler = Scheduler(config, config, cache, events)
    processor = OutputProcessor(lambda _: None)
    return Engine(scheduler, executor, processor, max_in_flight=2)


def _backends(group: KVGroup) -> GroupBackends:
    shape = AttentionShape(
        num_heads=SPEC.num_attention_heads,
        num_kv_heads=SPEC.num_kv_heads,
        head_dim=SPEC.head_dim,
        page_size=PAGE_SIZE,
        dtype=torch.bfloat16,
        scale=SPEC.attention_scale,
        window=group.window,
    )
    decode, prefill = (
        TritonBackend(
            shape,
            is_decode=is_decode,
            max_seq_len=CONTEXT,
            num_multiprocessors=H200_MULTIPROCESSORS,
        )
        for is_decode in (True, False)
    )
    return GroupBackends(decode, prefill)


def fill(engine: Engine, *, batch: int) -> None:
    """Give the engine ``batch`` prompts of 100 to 1,024 tokens, and bring all of them to decode."""
    rng = random.Random(0)
    for number in range(batch):
        request = Request(
            request_id=f"r{number}",
            prompt_token_ids=[rng.randrange(VOCAB) for _ in range(rng.randrange(100, 1025))],
            sampling=SamplingParams(temperature=0.6, ignore_eos=True),
            max_new_tokens=1000,
        )
        engine.add(request)
    while any(sequence.num_output_tokens < 4 for sequence in engine.scheduler.live.values()):
        engine.step()


def measure_host(engine: Engine, *, num_steps: int) -> HostTimes:
    """Time ``num_steps`` decode steps one by one, each collected before the next is planned."""
    scheduler, executor, processor = engine.scheduler, engine.executor, engine.processor
    while scheduler.num_open_steps:
        engine.max_in_flight = 0
        engine.step()
    times = HostTimes()
    for _ in range(num_steps):
        begin = time.perf_counter()
        plan = scheduler.plan_step(begin)
        planned = time.perf_counter()
        processor.observe(plan)
        handle = executor.launch(plan)
        executor.sample(handle)
        staged = time.perf_counter()
        result = processor.judge(plan, executor.collect(handle))
        scheduler.commit(plan, result, staged)
        engine.counters.add(scheduler.take_outputs())
        end = time.perf_counter()
        times.plan.append(planned - begin)
        times.stage.append(staged - planned)
        times.commit.append(end - staged)
    return times


def measure_gaps(engine: Engine, device: PacedDevice, *, num_steps: int) -> list[float]:
    """Seconds that the device stood still before each of ``num_steps`` decode steps."""
    device.gaps_s.clear()
    for _ in range(num_steps):
        engine.step()
    return device.gaps_s[:]


def main(
    argv: Sequence[str] | None = None,
    *,
    parser_class: type[argparse.ArgumentParser] = argparse.ArgumentParser,
) -> int:
    """Print both tables; ConfigError where an option is no number of steps or sequences."""
    parser = parser_class(prog="sglite bench host", description="Host time of a decode step.")
    parser.add_argument("--steps", default="400", help="steps timed (default 400, at most 900)")
    parser.add_argument("--batch", default="256", help="sequences decoded together (default 256)")
    arguments = parser.parse_args(argv)
    num_steps = _count("--steps", arguments.steps, 900)
    batch = _count("--batch", arguments.batch, 4096)

    engine = make_engine(PacedDevice(0.0), batch=batch)
    fill(engine, batch=batch)
    times = measure_host(engine, num_steps=num_steps)
    print(f"one decode step of {batch} sequences, host alone, {num_steps} steps")
    for name in ("plan", "stage", "commit", "total"):
        print(f"  {name:8} {_spread(getattr(times, name))}")

    device = PacedDevice(DEVICE_STEP_S)
    engine = make_engine(device, batch=batch)
    fill(engine, batch=batch)
    gaps = measure_gaps(engine, device, num_steps=num_steps)
    print(f"behind a device that takes {DEVICE_STEP_S * 1e3:.0f} ms a step")
    print(f"  {'idle':8} {_spread(gaps)}")
    return 0


def _count(name: str, text: str, largest: int) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= largest:
        raise ConfigError(f"{name}: {text!r} is not allowed; give an integer from 1 to {largest:,}")
    return int(text)


def _spread(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    p90 = ordered[int(0.9 * len(ordered))]
    figures = (statistics.median(ordered), statistics.fmean(ordered), p90, ordered[-1])
    labels = ("median", "mean", "p90", "max")
    return "  ".join(f"{n} {f * 1e6:6.0f} us" for n, f in zip(labels, figures, strict=True))


if __name__ == "__main__":
    raise SystemExit(main())
