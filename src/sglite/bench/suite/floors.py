"""The least time that a workload can take on a machine of given rates: its roofline.

Counted is what no engine gets around: the products of the tokens that have to be computed (a shared
prefix once), their attention, and in decoding the weights and the KV that every step has to read (a
shared prefix once per step). Arithmetic and reading overlap: in decoding the larger of the two
counts. Prompts are computed at the rate of large matrices. What is left out (norms, sampling,
Python) makes the floor lower, never higher.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sglite.bench.suite.machine import Rates
from sglite.bench.suite.workloads import Kind, Turns, Workload
from sglite.models.spec import DecoderSpec

CACHE_BYTES = 128 << 20
"""Weights that fit into a processor's caches are not read from memory: no floor is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Bytes that a weight of the layers, one of the head, and an element of the KV take.

    Weights of a byte or less are multiplied as 8-bit integers.
    """

    body_bytes: float
    head_bytes: float
    kv_bytes: float


def storage_of(num_bytes: int, quantization: str | None = None, group_size: int = 32) -> Storage:
    """sglite's own. ``num_bytes`` are those of a weight that is not quantised; int4 has a scale of
    16 bits per group, and 8 bits in the head.
    """
    if quantization is None:
        return Storage(body_bytes=num_bytes, head_bytes=num_bytes, kv_bytes=num_bytes)
    body_bytes = 1.0 if quantization == "int8" else 0.5 + 2 / group_size
    return Storage(body_bytes=body_bytes, head_bytes=1.0, kv_bytes=num_bytes)


class Span(NamedTuple):
    """One request's part of a turn: it computes positions ``start`` to ``prompt``, then decodes."""

    start: int
    prompt: int
    new: int


class Floor:
    """The floor of workloads for one model on one machine."""

    def __init__(self, spec: DecoderSpec, storage: Storage, rates: Rates) -> None:
        heads, kv_heads, dim = spec.num_attention_heads, spec.num_kv_heads, spec.head_dim
        layer = spec.hidden_size * dim * 2 * (heads + kv_heads)
        layer += 3 * spec.hidden_size * spec.intermediate_size
        self.body_params = spec.num_layers * layer
        self.head_params = spec.vocab_size * spec.hidden_size
        self.weight_bytes = (
            self.body_params * storage.body_bytes + self.head_params * storage.head_bytes
        )
        self._windows = Counter(spec.sliding_windows)
        self._flop_per_pair = 4 * heads * dim
        self._kv_bytes = 2 * kv_heads * dim * storage.kv_bytes
        self._rates = rates
        self._body_rate = _product_rate(storage.body_bytes, rates)
        self._head_rate = _product_rate(storage.head_bytes, rates)

    def headline_s(self, workload: Workload, shrink: int = 1) -> float | None:
        """The floor of ``Run.headline_s``; None where none is known."""
        if workload.kind is Kind.COLD or self.weight_bytes <= CACHE_BYTES:
            return None
        turns = workload.write(0, shrink)
        if workload.kind is Kind.DECODE:
            ((ask,),) = turns
            return self.decode_s(len(ask.token_ids), ask.num_new_tokens)
        return self.turns_s(turns, num_shared=-(-workload.num_shared // shrink))

    def first_token_s(self, num_prompt: int) -> float:
        """From a prompt to its first token, alone."""
        return self._prefill_s([Span(0, num_prompt, 1)])

    def decode_s(self, num_prompt: int, num_new: int) -> float:
        """A token of one stream, with the KV of half of its answer."""
        context = num_prompt + num_new // 2
        num_bytes = self.weight_bytes + self._kv_read([context], 0)
        flop_s = self._linear_s(1, 1) + self._pairs([context]) / self._rates.flop_per_s
        return max(num_bytes / self._rates.read_bytes_per_s, flop_s)

    def turns_s(self, turns: Turns, *, num_shared: int = 0) -> float:
        """All of it: turns one after the other, each prefilled and decoded."""
        return sum(
            self._prefill_s(spans) + self._decode_s(spans, num_shared)
            for spans in spans_of(turns, num_shared)
        )

    def _prefill_s(self, spans: Sequence[Span]) -> float:
        positions = [p for span in spans for p in range(span.start + 1, span.prompt + 1)]
        attention_s = self._pairs(positions) / self._rates.flop_per_s
        return self._linear_s(len(positions), len(spans)) + attention_s

    def _decode_s(self, spans: Sequence[Span], num_shared: int) -> float:
        """Steps in which every request that is not done computes one token."""
        num_steps = max(span.new for span in spans) - 1
        steps = [
            [span.prompt + step for span in spans if span.new > step]
            for step in range(1, num_steps + 1)
        ]
        num_tokens = sum(map(len, steps))
        weights_s = num_steps * self.weight_bytes / self._rates.read_bytes_per_s
        kv_bytes = sum(self._kv_read(contexts, num_shared) for contexts in steps)
        kv_s = kv_bytes / self._rates.read_bytes_per_s
        pairs_s = sum(map(self._pairs, steps)) / self._rates.flop_per_s
        return max(weights_s, self._linear_s(num_tokens, num_tokens)) + max(kv_s, pairs_s)

    def _linear_s(self, num_tokens: int, num_sampled: int) -> float:
        body_s = 2 * self.body_params * num_tokens / self._body_rate
        return body_s + 2 * self.head_params * num_sampled / self._head_rate

    def _pairs(self, contexts: Sequence[int]) -> float:
        """Operations of attention of one query each over so many keys, in all layers."""
        total = 0
        for window, num_layers in self._windows.items():
            visible = contexts if window is None else [min(each, window) for each in contexts]
            total += num_layers * sum(visible)
        return float(self._flop_per_pair * total)

    def _kv_read(self, contexts: Sequence[int], num_shared: int) -> float:
        """Bytes of a decode step; what all share is read once."""
        total = 0
        for window, num_layers in self._windows.items():
            hidden = [0 if window is None else max(0, each - window) for each in contexts]
            shared = [max(0, num_shared - each) for each in hidden]
            pairs = zip(contexts, hidden, shared, strict=True)
            own = sum(context - skipped - common for context, skipped, common in pairs)
            total += num_layers * (own + max(shared, default=0))
        return self._kv_bytes * total


def _product_rate(weight_bytes: float, rates: Rates) -> float:
    """Operations per second of products with weights of this size.

    Where torch has no quick product of integers (x86 without VNNI), floats are the better bound.
    """
    if weight_bytes > 1 or rates.int8_ops_per_s is None:
        return rates.flop_per_s
    return max(rates.flop_per_s, rates.int8_ops_per_s)


def spans_of(turns: Turns, num_shared: int) -> list[list[Span]]:
    """What each turn computes. The first request computes the shared prefix for all; the last token
    of an answer is computed with the next turn's prompt.
    """
    lengths = [0] * len(turns[0])
    computed = [0] + [num_shared] * (len(lengths) - 1)
    found = []
    for turn in turns:
        spans = []
        for session, ask in enumerate(turn):
            prompt = lengths[session] + len(ask.token_ids)
            spans.append(Span(computed[session], prompt, ask.num_new_tokens))
            lengths[session] = prompt + ask.num_new_tokens
            computed[session] = lengths[session] - 1
        found.append(spans)
    return found
