"""How near the CPU kernels come to what the machine reads and computes.

    sglite bench kernels [--heads 16,8,128] [--dtype bfloat16] [--cpu-kernels NAME]

Attention, in the shapes that decide: decode of many sequences with nothing in common, which is
bound by reading keys and values; decode of as many that share a prefix, which is a matrix product;
and a chunk of a prompt. Linear layers with weights beyond the caches, by rows. Every figure
stands beside the rate of the machine, taken in turns with it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sglite.bench.suite.machine import measure_product, measure_read
from sglite.errors import ConfigError
from sglite.kernels import cpu
from sglite.kvcache.groups import KVGroup
from sglite.kvcache.host_memory import lazy_zeros
from sglite.kvcache.kv_pool import KVPool

PAGE_SIZE = 16
PANEL = 16
NUM_SEQUENCES = 32
NUM_MATRICES = 64
"""So many that a pass over them finds none in a cache."""
READ_BYTES = 1 << 29
MATRIX_SIZE = 1024
MIN_TIME_S = 0.2
ROWS = (1, 2, 4, 8, 16, 32, 64, 256)
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A kernel over some data; ``work`` runs it once.

    ``num_bytes`` and ``num_operations`` are what one run cannot avoid to read and to compute.
    """

    name: str
    num_bytes: float
    num_operations: float
    work: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Heads:
    """Query heads, KV heads and numbers per head of a model."""

    num_heads: int
    num_kv_heads: int
    head_dim: int


@dataclass(frozen=True, slots=True)
class Machine:
    """What the kernels are compiled for and run on."""

    instruction_set: str
    num_threads: int
    dtype: torch.dtype

    @property
    def input_dtype(self) -> torch.dtype:
        """What is multiplied with ``dtype`` fastest: queries and inputs of linear layers."""
        if self.dtype is torch.float32:
            return torch.float32
        return DTYPES[_extension().best_x_type(self.instruction_set)]


def _extension() -> Any:
    return cpu.extension()  # there is one: it names the instruction set


# -- attention -------------------------------------------------------------------------------------


def attention_cases(machine: Machine, heads: Heads) -> Iterator[Case]:
    """Decode alone, decode on a shared prefix, and a chunk of a prompt."""
    for num_keys in (1024, 4096):
        pages_each = num_keys // PAGE_SIZE
        yield attention_case(
            machine,
            heads,
            name=f"decode, {NUM_SEQUENCES} x {num_keys:,} keys of their own",
            tables=[
                [i * pages_each + page for page in range(pages_each)] for i in range(NUM_SEQUENCES)
            ],
            num_new=1,
        )
    shared, own = list(range(128)), range(128, 128 + NUM_SEQUENCES)
    yield attention_case(
        machine,
        heads,
        name=f"decode, {NUM_SEQUENCES} sharing 2,048 keys",
        tables=[[*shared, page] for page in own],
        num_new=1,
        num_shared=len(shared),
    )
    yield attention_case(
        machine, heads, name="chunk, 256 tokens after 1,792", tables=[shared], num_new=256
    )


def attention_case(
    machine: Machine,
    heads: Heads,
    *,
    name: str,
    tables: list[list[int]],
    num_new: int,
    num_shared: int = 0,
) -> Case:
    """Runs of ``num_new`` tokens at the ends of sequences of whole pages.

    The pages lie in a random order. ``num_shared`` of each table are those of all.
    """
    num_pages = 1 + max(map(max, tables))
    pool = _filled_pool(machine, heads, num_pages)
    places = torch.randperm(num_pages).numpy().astype(np.int32)
    table_RP = places[np.asarray(tables)]
    num_runs, pages_each = table_RP.shape
    num_tokens = num_runs * num_new
    shape = (num_tokens, heads.num_heads, heads.head_dim)
    q_TND = torch.randn(shape).mul(heads.head_dim**-0.5).to(machine.input_dtype)
    out_TND = torch.empty_like(q_TND)
    program = _program(machine)
    program.attend(
        q_TND, out_TND, *pool.blocks(0), heads.num_heads, heads.num_kv_heads, heads.head_dim, 0
    )
    arguments = (
        np.zeros(num_tokens, dtype=np.int64),
        np.zeros((1, heads.head_dim), dtype=np.float32),
        np.zeros(num_tokens, dtype=np.int32),
        np.arange(0, num_tokens + 1, num_new, dtype=np.int32),
        np.full(num_runs, pages_each * PAGE_SIZE, dtype=np.int32),
        [table_RP],
        [np.zeros(num_tokens, dtype=np.int64)],
        np.empty(0, dtype=np.int32),
    )
    num_keys = pages_each * PAGE_SIZE
    pairs = num_runs * num_new * (num_keys - (num_new - 1) / 2)
    pages_read = num_shared + num_runs * (pages_each - num_shared)
    return Case(
        name=name,
        num_bytes=pages_read * PAGE_SIZE * _bytes_per_token(machine, heads),
        num_operations=4 * pairs * heads.num_heads * heads.head_dim,
        work=lambda: program.replay(*arguments),
    )


def _bytes_per_token(machine: Machine, heads: Heads) -> int:
    return 2 * heads.num_kv_heads * heads.head_dim * machine.dtype.itemsize


def _filled_pool(machine: Machine, heads: Heads, num_pages: int) -> KVPool:
    pool = KVPool(
        [KVGroup("paged_full", (0,))],
        [num_pages],
        page_size=PAGE_SIZE,
        num_kv_heads=heads.num_kv_heads,
        head_dim=heads.head_dim,
        dtype=machine.dtype,
        layout="block",
    )
    pool.storage[0].uniform_(-1, 1)
    return pool


def _program(machine: Machine) -> Any:
    return _extension().Program(
        machine.instruction_set, machine.num_threads, [PAGE_SIZE], [0], True
    )


# -- linear layers ---------------------------------------------------------------------------------


def linear_cases(machine: Machine, *, num_inputs: int, num_outputs: int) -> Iterator[Case]:
    """A layer, by rows; each run goes over all matrices."""
    size = num_inputs * num_outputs
    weights = [lazy_zeros((size,), machine.dtype) for _ in range(NUM_MATRICES)]
    for weight in weights:
        weight.uniform_(-1, 1)
    for rows in ROWS:
        x = torch.randn(rows, num_inputs).to(machine.input_dtype)
        out = torch.empty(rows, num_outputs)
        program = _program(machine)
        for weight in weights:
            program.linear(weight, None, x, out, num_outputs, num_inputs)
        yield Case(
            name=f"linear, {num_inputs:,} to {num_outputs:,}, {rows} rows",
            num_bytes=NUM_MATRICES * size * machine.dtype.itemsize,
            num_operations=2 * NUM_MATRICES * size * rows,
            work=lambda program=program, rows=rows: program.replay_rows(rows),  # type: ignore[misc]
        )


# -- measuring -------------------------------------------------------------------------------------


def measure(case: Case, num_rounds: int, product_dtype: torch.dtype) -> str:
    """The line of a case: medians of rounds, and of its shares of the rates beside it."""
    read_shares, product_shares, times = [], [], []
    case.work()
    for _ in range(num_rounds):
        read_bytes_per_s = measure_read(READ_BYTES)
        flop_per_s = measure_product(product_dtype, MATRIX_SIZE)
        seconds = _time(case.work)
        times.append(seconds)
        read_shares.append(case.num_bytes / seconds / read_bytes_per_s)
        product_shares.append(case.num_operations / seconds / flop_per_s)
    seconds = statistics.median(times)
    giga_bytes, giga_operations = case.num_bytes / 1e9, case.num_operations / 1e9
    return (
        f"{case.name:40} {1e3 * seconds:9.2f} ms"
        f" {giga_bytes / seconds:7.1f} GB/s {statistics.median(read_shares):5.0%}"
        f" {giga_operations / seconds:8.1f} GFLOP/s {statistics.median(product_shares):5.0%}"
    )


def _time(work: Callable[[], None]) -> float:
    times: list[float] = []
    while not times or sum(times) < MIN_TIME_S:
        start_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - start_s)
    return min(times)


def main(
    argv: Sequence[str] | None = None,
    *,
    parser_class: type[argparse.ArgumentParser] = argparse.ArgumentParser,
) -> int:
    """Print a line for each case. ConfigError for a value that is not allowed."""
    parser = parser_class(prog="sglite bench kernels", description="The CPU kernels, one by one.")
    parser.add_argument("--heads", default="16,8,128", help="query heads, KV heads, numbers each")
    parser.add_argument("--size", default="1024,3072", help="inputs and outputs of a linear layer")
    parser.add_argument("--dtype", default="bfloat16", help="of keys, values and weights")
    parser.add_argument("--cpu-kernels", default="auto", help="an instruction set")
    parser.add_argument("--rounds", default="5", help="rounds of each case (default 5)")
    parser.add_argument("--only", default="", help="cases whose names hold this")
    arguments = parser.parse_args(argv)
    heads = Heads(*_numbers(arguments.heads, "--heads", 3))
    inputs, outputs = _numbers(arguments.size, "--size", 2)
    (rounds,) = _numbers(arguments.rounds, "--rounds", 1)
    machine = _machine(arguments.cpu_kernels, arguments.dtype)
    attention = attention_cases(machine, heads)
    for case in (*attention, *linear_cases(machine, num_inputs=inputs, num_outputs=outputs)):
        if arguments.only in case.name:
            print(measure(case, rounds, machine.input_dtype), flush=True)
    return 0


def _machine(kernels: str, dtype: str) -> Machine:
    if dtype not in DTYPES:
        raise ConfigError(f"--dtype: {dtype!r:.80} is not allowed; give {' or '.join(DTYPES)}")
    instruction_set = cpu.choose(kernels)
    if instruction_set is None:
        why = cpu.why_missing() or "torch has none of them"
        raise ConfigError(f"--cpu-kernels {kernels}: there is nothing to measure ({why})")
    return Machine(instruction_set, torch.get_num_threads(), DTYPES[dtype])


def _numbers(text: str, flag: str, count: int) -> list[int]:
    parts = text.split(",")
    if len(parts) != count or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(f"{flag}: {text!r} is not allowed; give {count} positive integers")
    return [int(part) for part in parts]
