"""Runs a Decoder over paged KV without an engine, and the same weights in transformers.

``PagedSequences`` hands out pages in random order from a pool whose unused slots hold NaN, so that
whatever is read by mistake shows. ``Reference`` is what transformers computes for a model.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sglite.executors.forward_batch import AttentionMetadata, ForwardBatch
from sglite.kvcache.kv_pool import KVPool
from sglite.models.decoder import Decoder
from sglite.models.hf_config import HFConfig
from sglite.models.registry import spec_from_hf

NEAR_TIE = 1e-4
"""Where the reference's two best logits are this close, either token is right."""

RELATIVE_ERROR = 1e-4
"""Of the largest logit at a position."""


class PagedSequences:
    """The KV of some sequences, each with pages of its own, one page table per KV group.

    Page 0 and the spare page belong to nobody and hold NaN. Pages wholly before a group's window
    are given up: their entries become 0, as the scheduler does.
    """

    def __init__(
        self,
        decoder: Decoder,
        *,
        page_size: int,
        num_pages: int,
        seed: int = 0,
        kv_dtype: torch.dtype | None = None,
        layers: range | None = None,
    ) -> None:
        self.decoder = decoder
        self.page_size = page_size
        self.groups = decoder.spec.kv_groups()
        self.pool = KVPool(
            self.groups,
            [num_pages] * len(self.groups),
            page_size=page_size,
            num_kv_heads=decoder.num_kv_heads,
            head_dim=decoder.spec.head_dim,
            dtype=kv_dtype or decoder.dtype,
            layout=decoder.kv_layout,
            has_spare_page=True,
            layers=layers,
        )
        poison(self.pool)
        shuffle = random.Random(seed)
        self.free = [shuffle.sample(range(1, num_pages), num_pages - 1) for _ in self.groups]
        self.pages: dict[int, list[list[int]]] = {}
        self.lengths: dict[int, int] = {}

    def forward(self, runs: dict[int, Sequence[int]]) -> torch.Tensor:
        """Append each sequence's new tokens; hidden states of all of them, packed."""
        batch = self.make_batch(runs)
        batch.check(vocab_size=self.decoder.spec.vocab_size)
        return self.decoder(batch, self.pool)

    def last_logits(self, runs: dict[int, Sequence[int]]) -> torch.Tensor:
        """Append the new tokens; logits ``[runs, V]`` at the last token of each."""
        hidden = self.forward(runs)
        lengths = torch.tensor([len(tokens) for tokens in runs.values()])
        return self.decoder.compute_logits(hidden[lengths.cumsum(0) - 1])

    def make_batch(self, runs: dict[int, Sequence[int]]) -> ForwardBatch:
        """The batch of these runs; takes the pages they need."""
        token_ids, positions, offsets = [], [], [0]
        for sequence, tokens in runs.items():
            start = self.lengths.get(sequence, 0)
            self.lengths[sequence] = start + len(tokens)
            self._take_pages(sequence)
            token_ids += list(tokens)
            positions += range(start, start + len(tokens))
            offsets.append(len(token_ids))
        groups = range(len(self.groups))
        return ForwardBatch(
            input_ids_T=torch.tensor(token_ids),
            positions_T=torch.tensor(positions),
            attention=[self._metadata(list(runs), positions, offsets, group) for group in groups],
            group_of_layer=self.decoder.spec.group_of_layer(),
        )

    def _take_pages(self, sequence: int) -> None:
        tables = self.pages.setdefault(sequence, [[] for _ in self.groups])
        needed = -(-self.lengths[sequence] // self.page_size)
        for table, free in zip(tables, self.free, strict=True):
            table += [free.pop() for _ in range(needed - len(table))]

    def _metadata(
        self, sequences: list[int], positions: list[int], offsets: list[int], group: int
    ) -> AttentionMetadata:
        tables = [
            self._visible_pages(offsets, positions, i, s, group) for i, s in enumerate(sequences)
        ]
        width = max(map(len, tables))
        page_table = torch.tensor([t + [0] * (width - len(t)) for t in tables], dtype=torch.int32)
        rows = [r for r in range(len(sequences)) for _ in range(offsets[r], offsets[r + 1])]
        slots = [
            tables[row][position // self.page_size] * self.page_size + position % self.page_size
            for row, position in zip(rows, positions, strict=True)
        ]
        seq_lens = [self.lengths[sequence] for sequence in sequences]
        return AttentionMetadata(
            page_table_RP=page_table,
            out_slots_T=torch.tensor(slots),
            run_offsets=list(offsets),
            seq_lens=seq_lens,
            seq_lens_R=torch.tensor(seq_lens, dtype=torch.int32),
            page_size=self.page_size,
            window=self.groups[group].window,
        )

    def _visible_pages(
        self, offsets: list[int], positions: list[int], run: int, sequence: int, group: int
    ) -> list[int]:
        pages = self.pages[sequence][group]
        first = self.groups[group].first_needed_page(positions[offsets[run]], self.page_size)
        for index in range(first):
            pages[index] = 0
        return list(pages)


def poison(pool: KVPool) -> None:
    """Every float of the pool becomes NaN, a scale as well; every integer -1."""
    for storage in pool.storage:
        storage.view(torch.uint8).fill_(255)


def chunks(token_ids: Sequence[int], size: int | None) -> list[Sequence[int]]:
    """``token_ids`` in pieces of ``size``; None is one piece."""
    size = size or len(token_ids)
    return [token_ids[start : start + size] for start in range(0, len(token_ids), size)]


def greedy(
    sequences: PagedSequences,
    prompts: dict[int, Sequence[int]],
    *,
    num_tokens: int,
    chunk: int | None = None,
) -> dict[int, list[int]]:
    """Each prompt's ``num_tokens`` most likely continuations, all decoded in one batch."""
    best = {}
    for sequence, prompt in prompts.items():
        for piece in chunks(prompt, chunk):
            logits = sequences.last_logits({sequence: piece})
        best[sequence] = [int(logits[0].argmax())]
    for _ in range(num_tokens - 1):
        logits = sequences.last_logits({s: tokens[-1:] for s, tokens in best.items()})
        for tokens, row in zip(best.values(), logits.argmax(dim=-1).tolist(), strict=True):
            tokens.append(row)
    return best


@dataclass(frozen=True)
class Reference:
    """What transformers says: greedy continuations, and logits at every position, two ways.

    ``token_ids [B, P + G]`` are the prompts and what was generated. ``decode_logits
    [B, G, V]`` chose those tokens, with a KV cache; ``forced_logits [B, P + G, V]`` come from one
    forward over everything.
    """

    prompt_length: int
    token_ids: torch.Tensor
    decode_logits: torch.Tensor
    forced_logits: torch.Tensor


@torch.inference_mode()
def transformers_reference(model: Any, prompts: torch.Tensor, *, num_tokens: int) -> Reference:
    """Greedy decoding of equally long prompts ``[B, P]`` in one batch, then one forward."""
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    token_ids, new_ids, steps = prompts, prompts, []
    for _ in range(num_tokens):
        logits = model(new_ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        steps.append(logits[:, -1].float())
        new_ids = logits[:, -1].argmax(dim=-1, keepdim=True)
        token_ids = torch.cat((token_ids, new_ids), dim=1)
    forced = model(token_ids, use_cache=False).logits.float()
    return Reference(prompts.shape[1], token_ids, torch.stack(steps, dim=1), forced)


def load_decoder(model: Any, *, dtype: torch.dtype = torch.float32) -> Decoder:
    """A Decoder with the weights of a transformers model, through the weight map."""
    decoder = Decoder(spec_from_hf(hf_config_of(model)), dtype=dtype)
    tensors = model.state_dict()
    for name, target in decoder.load_plan().items():
        decoder.write(name, target, tensors[name])
    return decoder


def hf_config_of(model: Any) -> HFConfig:
    """The model's config.json as sglite reads it."""
    raw = model.config.to_dict() | {"architectures": [type(model).__name__]}
    return HFConfig.from_dict(raw)


def largest_error(logits: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference at any position, relative to the largest expected logit there."""
    scale = expected.abs().amax(dim=-1, keepdim=True)
    error = ((logits - expected).abs() / scale).max().item()
    return float("inf") if error != error else error


def num_comparable(logits: torch.Tensor) -> int:
    """Steps of ``[G, V]`` before the first where the two best lie within ``NEAR_TIE``."""
    best = logits.topk(2, dim=-1).values
    ties = (best[:, 0] - best[:, 1] <= NEAR_TIE).nonzero()
    return int(ties[0]) if len(ties) else len(logits)


def check_greedy(
    decoder: Decoder,
    reference: Reference,
    *,
    num_tokens: int,
    page_size: int,
    chunk: int | None = None,
    prompt_step: int = 5,
    sequences_type: type[PagedSequences] = PagedSequences,
) -> None:
    """Assert that a batch decodes the reference's tokens, up to its first near tie.

    Prompt i is ``i * prompt_step`` longer: it takes tokens that the reference generated, whose
    continuation is the rest of the same sequence.
    """
    expected, prompts, counts = {}, {}, {}
    for i, token_ids in enumerate(reference.token_ids.tolist()):
        skipped = i * prompt_step
        start = reference.prompt_length + skipped
        prompts[i] = token_ids[:start]
        expected[i] = token_ids[start : start + num_tokens]
        counts[i] = num_comparable(reference.decode_logits[i, skipped : skipped + num_tokens])
    longest = reference.token_ids.shape[1]
    sequences = sequences_type(
        decoder, page_size=page_size, num_pages=2 + len(prompts) * -(-longest // page_size)
    )
    actual = greedy(sequences, prompts, num_tokens=num_tokens, chunk=chunk)
    for i, count in counts.items():
        assert count >= num_tokens // 2, f"sequence {i}: a near tie at {count} leaves no test"
        assert len(set(expected[i])) >= num_tokens // 4, f"sequence {i} is not varied"
        assert actual[i][:count] == expected[i][:count], f"sequence {i}: tokens differ"


def check_forced(
    decoder: Decoder,
    reference: Reference,
    *,
    page_size: int,
    chunk: int | None = None,
    sequences_type: type[PagedSequences] = PagedSequences,
) -> None:
    """Assert that the logits at every position, all tokens given, are the reference's."""
    num_rows, length = reference.token_ids.shape
    sequences = sequences_type(
        decoder, page_size=page_size, num_pages=2 + num_rows * -(-length // page_size)
    )
    pieces = [
        sequences.forward({i: part[i].tolist() for i in range(num_rows)})
        for part in reference.token_ids.split(chunk or length, dim=1)
    ]
    hidden = torch.cat([piece.unflatten(0, (num_rows, -1)) for piece in pieces], dim=1)
    logits = decoder.compute_logits(hidden.flatten(0, 1)).unflatten(0, (num_rows, length))
    error = largest_error(logits, reference.forced_logits)
    assert error <= RELATIVE_ERROR, f"logits differ by {error:.1e} of the largest"
