"""Several ranks, stages and lanes compute what one rank does, whatever the model.

The sizes do not divide: vocabulary and MLPs are padded, stages uneven, KV heads copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest
import torch

from sglite.distributed.layout import RankLayout
from sglite.distributed.open_groups import RankGroups
from sglite.models.decoder import Decoder
from sglite.models.layers.parallel import ModelShare
from sglite.models.random_weights import random_weight
from sglite.models.registry import spec_from_hf
from sglite.models.spec import DecoderSpec
from tests.distributed.rank_threads import run_ranks
from tests.model_harness import PagedSequences, largest_error
from tests.models.configs import make_hf_config

SIZES = {
    "vocab_size": 131,
    "hidden_size": 32,
    "intermediate_size": 90,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
WINDOWS = {"use_sliding_window": True, "sliding_window": 5}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", {"tie_word_embeddings": True}),
    "llama-bias": ("LlamaForCausalLM", {"attention_bias": True, "mlp_bias": True}),
    "mistral": ("MistralForCausalLM", {"sliding_window": 6}),
    "qwen2": ("Qwen2ForCausalLM", WINDOWS | {"max_window_layers": 1}),
    "qwen3": ("Qwen3ForCausalLM", {"tie_word_embeddings": True}),
    "qwen3-bias": (
        "Qwen3ForCausalLM",
        {
            "attention_bias": True,
            **WINDOWS,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
}
TP2, TP4, PP2 = RankLayout(2), RankLayout(4), RankLayout(1, 2)
BOTH, LANES = RankLayout(2, 2), RankLayout(2, num_lanes=2)
PROMPTS = {0: [5, 17, 99, 3, 130, 8, 41], 1: [77, 2, 64], 2: [12, 13, 14, 15, 16]}
CHUNK = 4
MAX_ERROR = 1e-5
"""Of the largest logit: only the order of sums differs."""


@lru_cache
def spec_of(variant: str, **changes: int) -> DecoderSpec:
    architecture, settings = VARIANTS[variant]
    return spec_from_hf(make_hf_config(architecture, **SIZES | settings | changes))


def make_decoder(spec: DecoderSpec, share: ModelShare | None = None) -> Decoder:
    """The share of a model whose weights follow from the names alone."""
    decoder = Decoder(spec, share=share)
    for name, target in decoder.load_plan().items():
        decoder.write(name, target, random_weight(name, target.shape))
    return decoder


@dataclass
class Rank:
    """One rank of a layout, and the sequences that it has KV of."""

    layout: RankLayout
    rank: int
    groups: RankGroups
    spec: DecoderSpec

    def __post_init__(self) -> None:
        layout = self.layout
        share = ModelShare.of(layout, self.rank, self.spec.num_layers, self.groups.stage)
        self.decoder = make_decoder(self.spec, share)
        self.sequences = PagedSequences(
            self.decoder, page_size=2, num_pages=40, layers=share.layers
        )
        self.draws = layout.ranks_of_stage(layout.pp_size - 1)[0]

    def step(self, runs: dict[int, Sequence[int]]) -> torch.Tensor:
        """The runs' next tokens, on every rank; the logits are noted where they are drawn from."""
        batch, ends = self.sequences.make_batch(runs), []
        for tokens in runs.values():
            ends.append((ends[-1] if ends else -1) + len(tokens))
        share, tp_size, ranks = self.decoder.share, self.layout.tp_size, self.groups.ranks
        hidden = None
        if not share.is_first_stage:
            hidden = torch.empty(len(batch.input_ids_T), self.spec.hidden_size)
            ranks.receive(hidden, self.rank - tp_size)
        hidden = self.decoder(batch, self.sequences.pool, hidden)
        next_ids = torch.zeros(len(runs), dtype=torch.int64)
        if not share.is_last_stage:
            ranks.send(hidden, self.rank + tp_size)
        else:
            self.logits = self.decoder.compute_logits(hidden[ends])
            next_ids = self.logits.argmax(-1)
        return next_ids if ranks is None else ranks.broadcast(next_ids, self.draws)

    def greedy(self, num_tokens: int) -> tuple[torch.Tensor, list[list[int]]]:
        """The last logits where they are drawn, and the tokens of all sequences; prompts come in
        chunks."""
        for sequence, prompt in PROMPTS.items():
            self.step({sequence: prompt[:CHUNK]})
        first = self.step({s: prompt[CHUNK:] or prompt[-1:] for s, prompt in PROMPTS.items()})
        found = [first.tolist()]
        for _ in range(num_tokens - 1):
            found.append(self.step({s: [t] for s, t in enumerate(found[-1])}).tolist())
        return self.logits if self.rank == self.draws else torch.empty(0), found


@lru_cache
def expected(spec: DecoderSpec, num_tokens: int) -> tuple[torch.Tensor, list[list[int]]]:
    """The same of one rank."""
    return Rank(RankLayout(), 0, RankGroups(), spec).greedy(num_tokens)


def check(spec: DecoderSpec, layout: RankLayout, *, num_tokens: int = 4) -> None:
    logits, tokens = expected(spec, num_tokens)
    results = run_ranks(layout, lambda *rank: Rank(layout, *rank, spec).greedy(num_tokens))
    drawn = results[layout.ranks_of_stage(layout.pp_size - 1)[0]][0]

    assert drawn.shape == logits.shape == (len(PROMPTS), spec.vocab_size)
    assert largest_error(drawn, logits) <= MAX_ERROR
    assert [found for _, found in results] == [tokens] * layout.num_ranks
    assert len({token for step in tokens for token in step}) > num_tokens, "not varied"


@pytest.mark.parametrize(
    ("variant", "layout"),
    [
        ("llama", TP4),
        ("llama-bias", BOTH),
        ("mistral", TP2),
        ("qwen2", PP2),
        ("qwen3", BOTH),
        ("qwen3-bias", TP2),
    ],
)
def test_ranks_give_the_tokens_and_logits_of_one(variant, layout):
    check(spec_of(variant), layout)


def test_three_ranks_with_sizes_that_three_does_not_divide():
    sizes = {"num_attention_heads": 6, "num_key_value_heads": 3, "head_dim": 6}
    check(spec_of("llama-bias", vocab_size=259, intermediate_size=100, **sizes), RankLayout(3))


LANE_STEPS: list[list[dict[int, list[int]]]] = [
    [{0: PROMPTS[0], 1: PROMPTS[1]}, {2: PROMPTS[2]}],
    [{0: [1], 1: [2]}, {}],
    [{}, {2: [4]}],
    [{1: [9]}, {2: [7]}],
]
"""For each step the runs of each lane, of which one may have none."""


def lane_logits(spec: DecoderSpec, lane: int, groups: RankGroups) -> list[torch.Tensor]:
    """The logits of a lane's sequences after each of its steps."""
    share = ModelShare.of(LANES, lane, spec.num_layers, groups.stage)
    decoder = make_decoder(spec, share)
    sequences = PagedSequences(decoder, page_size=2, num_pages=40)
    found = []
    for step in LANE_STEPS:
        counts = [sum(map(len, runs.values())) for runs in step]
        if not step[lane]:
            decoder.join_lanes(counts)
            continue
        batch = sequences.make_batch(step[lane])
        batch.lane_tokens = counts
        found.append(decoder.compute_logits(decoder(batch, sequences.pool)))
    return found


def check_lanes(variant: str) -> None:
    spec = spec_of(variant)
    results = run_ranks(LANES, lambda *lane: lane_logits(spec, *lane))
    alone = make_decoder(spec)
    for lane, logits in enumerate(results):
        sequences = PagedSequences(alone, page_size=2, num_pages=40)
        steps = [step[lane] for step in LANE_STEPS if step[lane]]
        wanted = [alone.compute_logits(sequences.forward(runs)) for runs in steps]
        for found, each in zip(logits, wanted, strict=True):
            assert largest_error(found, each) <= MAX_ERROR
            assert torch.equal(found.argmax(-1), each.argmax(-1))


@pytest.mark.parametrize("variant", ["llama-bias", "qwen3"])
def test_lanes_compute_their_own_requests_and_the_mlps_together(variant):
    check_lanes(variant)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_lanes_of_every_model(variant):
    check_lanes(variant)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("layout", [TP2, TP4, PP2, BOTH, RankLayout(1, 3)], ids=str)
def test_every_layout_and_every_model(variant, layout):
    check(spec_of(variant), layout, num_tokens=24)
