"""What the router costs: decisions a second on one core, and memory.

    python -m sglite.bench.router        (or: sglite bench router)

64 engines have told in digests that they have a million tokens cached each. Prompts of 1,024 + 16
tokens come; their starts are cached at one to four engines, some at none. A decision is all that
the HTTP process does for it: the hashes of the prompt, the choice, and the end of an older request.
Times are those of the processor, so that others on the machine do not count.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import statistics
import time
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sglite.config_parallel import RoutingOptions
from sglite.errors import ConfigError
from sglite.router.policies import RoutedRequest
from sglite.router.prefix_hashes import page_hashes
from sglite.router.router import Router

PAGE_SIZE = 16
SHARED_TOKENS = 1024
OWN_TOKENS = 16
NEW_TOKENS = 128
NUM_STARTS = 2000
MAX_COPIES = 4
UNKNOWN_SHARE = 0.1
"""Part of the prompts that start like none before."""
OPEN_PER_ENGINE = 32
DIGEST_HASHES = 4096
BATCH = 250
"""Decisions timed together; their prompts are made before."""


@dataclass(frozen=True, slots=True)
class BenchDigest:
    """A digest as engines send it."""

    added: bytes
    removed: bytes = b""
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Timing:
    """Microseconds of a decision: means of batches. ``hash_us`` is what its hashes take of that."""

    median_us: float
    p90_us: float
    hash_us: float

    @property
    def per_second(self) -> float:
        """Decisions a second."""
        return 1e6 / self.median_us


class Load:
    """A router that knows much, with requests open at all engines."""

    def __init__(
        self, num_engines: int, num_cached_tokens: int, *, policy: str = "cache_aware"
    ) -> None:
        self._random = random.Random(0)
        options = RoutingOptions(routing_policy=policy)  # type: ignore[arg-type]
        self.router = Router(options, num_engines)
        self.starts = [self._ids(SHARED_TOKENS) for _ in range(NUM_STARTS)]
        self.num_engines = num_engines
        self._open: deque[str] = deque()
        self._number = 0
        self.digest_ms = self._fill(num_cached_tokens // PAGE_SIZE)
        for prompt in self.prompts(num_engines * OPEN_PER_ENGINE):
            self.decide(prompt, is_full=False)

    def prompts(self, count: int) -> list[list[int]]:
        """Of each the start is shared, or new."""
        made = []
        for _ in range(count):
            start = self._random.choice(self.starts)
            if self._random.random() < UNKNOWN_SHARE:
                start = self._ids(SHARED_TOKENS)
            made.append(start + self._ids(OWN_TOKENS))
        return made

    def decide(self, prompt: list[int], *, is_full: bool = True) -> None:
        """One request comes and one goes."""
        self._number += 1
        now, name = self._number * 1e-3, f"r{self._number}"
        hashes = partial(page_hashes, prompt, PAGE_SIZE)
        self.router.try_route(RoutedRequest(name, len(prompt) + NEW_TOKENS, hashes), now)
        self._open.append(name)
        if is_full:
            self.router.finished(self._open.popleft(), now)

    def run(self, num_decisions: int) -> Timing:
        """Time decisions in batches."""
        times, hash_times = [], []
        for _ in range(max(1, num_decisions // BATCH)):
            prompts = self.prompts(BATCH)
            gc.collect(0)
            started = time.thread_time()
            for prompt in prompts:
                self.decide(prompt)
            decided = time.thread_time()
            for prompt in prompts:
                page_hashes(prompt, PAGE_SIZE)
            hash_times.append((time.thread_time() - decided) / BATCH * 1e6)
            times.append((decided - started) / BATCH * 1e6)
        p90_us = sorted(times)[len(times) * 9 // 10]
        return Timing(statistics.median(times), p90_us, statistics.median(hash_times))

    def _fill(self, num_pages: int) -> float:
        """Digests of all engines; milliseconds that a full message takes."""
        wanted: list[list[int]] = [[] for _ in range(self.num_engines)]
        for start in self.starts:
            for engine in self._random.sample(
                range(self.num_engines),
                min(self.num_engines, self._random.randint(1, MAX_COPIES)),
            ):
                wanted[engine] += page_hashes(start, PAGE_SIZE)
        spent_s, num_hashes = 0.0, 0
        for engine, hashes in enumerate(wanted):
            hashes = hashes[:num_pages]
            hashes += [self._random.getrandbits(64) for _ in range(num_pages - len(hashes))]
            packed = array("Q", hashes).tobytes()
            for at in range(0, len(packed), DIGEST_HASHES * 8):
                digest = BenchDigest(packed[at : at + DIGEST_HASHES * 8], is_whole=at == 0)
                started = time.thread_time()
                self.router.take_digest(engine, digest)
                spent_s += time.thread_time() - started
            num_hashes += len(hashes)
        return spent_s / num_hashes * DIGEST_HASHES * 1e3

    def _ids(self, count: int) -> list[int]:
        return [self._random.randrange(1, 150_000) for _ in range(count)]


def resident_bytes() -> int:
    """Memory of this process, as the kernel counts it."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(
    argv: Sequence[str] | None = None,
    *,
    parser_class: type[argparse.ArgumentParser] = argparse.ArgumentParser,
) -> int:
    """Print decisions a second; ConfigError where a number is none."""
    parser = parser_class(prog="sglite bench router", description="Cost of a routing decision.")
    parser.add_argument("--engines", default="64", help="engines to choose from (default 64)")
    parser.add_argument(
        "--cached-tokens", default="1000000", help="told by each engine (default 1000000)"
    )
    parser.add_argument("--decisions", default="10000", help="to be timed (default 10000)")
    arguments = parser.parse_args(argv)
    num_engines = _number("--engines", arguments.engines)
    num_tokens = _number("--cached-tokens", arguments.cached_tokens)
    num_decisions = _number("--decisions", arguments.decisions)
    before = resident_bytes()
    load = Load(num_engines, num_tokens)
    memory = resident_bytes() - before
    timing = load.run(num_decisions)
    index = load.router.index
    print(f"{num_engines} engines with {num_tokens:,} cached tokens each, cache_aware")
    print(f"decisions      {timing.per_second:8,.0f} a second")
    print(f"one decision   {timing.median_us:8.0f} us (p90 {timing.p90_us:.0f} us)")
    print(f"  its hashes   {timing.hash_us:8.0f} us")
    print(f"digest         {load.digest_ms:8.1f} ms for {DIGEST_HASHES:,} hashes")
    print(f"memory         {memory / 2**20:8.0f} MiB for {index.num_known:,} different hashes")
    return 0


def _number(flag: str, word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise ConfigError(f"{flag}: {word!r} is not allowed; give an integer, at least 1")
    return int(word)


if __name__ == "__main__":
    raise SystemExit(main())
