"""The small kernels around a step: its inputs, its page table, copies of pages."""

from __future__ import annotations

from functools import partial

import torch

from sglite.bench.gpu_suite.kernel_checks.case import Case, Pair, Place
from sglite.kernels import page_copy, page_table, step_inputs
from sglite.kernels.step_inputs import StepInputs, StepTokens

PAGE_SIZE = 16


def cases() -> list[Case]:
    """One token, the edges of blocks, a whole chunk."""
    counts = (1, 3, 129, 8192)
    return [
        *[Case("step_inputs", f"{n:,} tokens", partial(inputs, n), n > 1000) for n in counts],
        *[Case("page_table", f"{n:,} updates", partial(updates, n), n > 1000) for n in counts],
        *[Case("page_copy", f"{n} pages", partial(copies, n), n > 10) for n in (1, 3, 100)],
    ]


def inputs(num_tokens: int, place: Place) -> list[Pair]:
    """Ids, positions and the slots of two KV groups."""
    rows, pages, device = 7, 600, place.device
    tokens = StepTokens(
        torch.randint(0, rows, (num_tokens,), device=device).int(),
        torch.randint(0, pages * PAGE_SIZE, (num_tokens,), device=device).int(),
        torch.randint(-1, 3, (num_tokens,), device=device).int(),
    )
    tables = [torch.randint(0, 2**20, (rows, pages), device=device).int() for _ in range(2)]
    last_tokens = torch.randint(0, 1000, (rows,), device=device)
    results = []
    for module in (place.implementation("step_inputs"), step_inputs.reference):
        ids, positions, *slots = torch.full((4, num_tokens), -7, device=device)
        out = StepInputs(ids, positions, slots)
        module.step_inputs(tokens, last_tokens, tables, out, page_size=PAGE_SIZE)
        results.append((ids, positions, *slots))
    return [Pair(actual, expected) for actual, expected in zip(*results, strict=True)]


def updates(num_updates: int, place: Place) -> list[Pair]:
    """Half of the triples do nothing."""
    device = place.device
    triples = torch.stack(
        (
            torch.arange(num_updates, device=device) % 64,
            torch.arange(num_updates, device=device) // 64,
            torch.randint(0, 2**20, (num_updates,), device=device),
        ),
        dim=1,
    ).int()
    triples[1::2, 0] = -1
    tables = []
    for module in (place.implementation("page_table"), page_table.reference):
        tables.append(torch.full((64, 200), -7, dtype=torch.int32, device=device))
        module.update_page_table(tables[-1], triples)
    return [Pair(*tables)]


def copies(num_pages: int, place: Place) -> list[Pair]:
    """In all layers; nothing else is written."""
    pages = place.randn(3, 2, 2 * num_pages + 1, PAGE_SIZE, 2, 24)
    order = torch.randperm(2 * num_pages, device=place.device)
    sources, targets = order[:num_pages], order[num_pages:]
    storages = []
    for module in (place.implementation("page_copy"), page_copy.reference):
        storages.append(pages.clone())
        module.copy_pages(storages[-1], sources, targets)
    return [Pair(*storages)]
