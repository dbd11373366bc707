"""Ranks that replay their shares of a model compute together what one rank computes alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sglite.distributed.layout import RankLayout
from sglite.distributed.open_groups import RankGroups
from sglite.kernels.cpu import instruction_sets
from sglite.models.layers.parallel import ModelShare
from sglite.models.quantization import Quantization
from sglite.models.registry import spec_from_hf
from sglite.models.replayed_decoder import ReplayedDecoder, why_not_replayed
from sglite.models.spec import DecoderSpec
from sglite.models.weight_map import weight_map
from tests.distributed.rank_threads import run_ranks
from tests.kernels.cpu.kernels import extension
from tests.model_harness import PagedSequences, largest_error
from tests.models.configs import make_hf_config

extension()

ERROR = 1e-5
"""Of the largest logit: the order of sums differs."""

BASE = {"head_dim": 16, "vocab_size": 131, "num_hidden_layers": 3}
SPECS = {
    # With 4 ranks the vocabulary and the MLP are padded, and KV heads copied.
    "biased": spec_from_hf(
        make_hf_config(attention_bias=True, mlp_bias=True, intermediate_size=94, **BASE)
    ),
    "qwen3": spec_from_hf(make_hf_config("Qwen3ForCausalLM", tie_word_embeddings=True, **BASE)),
    "window": spec_from_hf(make_hf_config("MistralForCausalLM", sliding_window=11, **BASE)),
}
RUNS = [{0: range(3, 40), 1: range(90, 107)}, {0: [130], 1: [5], 2: range(60, 75)}, {2: [8]}]
"""Steps, as new tokens by sequence: prompts, decodes beside a prompt, a decode."""


def checkpoint_of(spec: DecoderSpec) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return {
        name: torch.randn(target.shape, generator=generator) / 8
        for name, target in weight_map(spec).items()
    }


def share_of(spec: DecoderSpec, share: ModelShare, **options: Any) -> ReplayedDecoder:
    """A rank's share of the same weights."""
    types = {"dtype": torch.float32, "weight_dtype": torch.float32}
    model = ReplayedDecoder(
        spec, instruction_set=instruction_sets()[0], share=share, **(types | options)
    )
    checkpoint = checkpoint_of(spec)
    for name, target in weight_map(spec, share).items():
        model.write(name, target, checkpoint[name])
    return model


def last_tokens(runs: dict[int, Any]) -> torch.Tensor:
    return torch.tensor([len(tokens) for tokens in runs.values()]).cumsum(0) - 1


def run_rank(
    spec: DecoderSpec, layout: RankLayout, rank: int, groups: RankGroups, **options: Any
) -> tuple[list[torch.Tensor], int]:
    """Logits of each step, where this rank has them, and the bytes of its weights."""
    share = ModelShare.of(layout, rank, spec.num_layers, groups.stage)
    model = share_of(spec, share, **options)
    sequences = PagedSequences(model, page_size=16, num_pages=12)  # type: ignore[arg-type]
    found = []
    for runs in RUNS:
        batch = sequences.make_batch(runs)
        hidden_TE = None
        if not share.is_first_stage:
            assert groups.ranks is not None
            hidden_TE = torch.empty(len(batch.input_ids_T), spec.hidden_size)
            groups.ranks.receive(hidden_TE, rank - layout.tp_size)
        hidden_TE = model(batch, sequences.pool, hidden_TE)
        if share.is_last_stage:
            found.append(model.compute_logits(hidden_TE[last_tokens(runs)]).clone())
        else:
            assert groups.ranks is not None
            groups.ranks.send(hidden_TE, rank + layout.tp_size)
    return found, model.num_bytes


def check_ranks(spec: DecoderSpec, layout: RankLayout, error: float, **options: Any) -> None:
    [(expected, num_bytes)] = run_ranks(
        RankLayout(), lambda rank, groups: run_rank(spec, RankLayout(), rank, groups, **options)
    )
    results = run_ranks(
        layout, lambda rank, groups: run_rank(spec, layout, rank, groups, **options)
    )
    drawing = layout.ranks_of_stage(layout.pp_size - 1)[0]
    for logits, alone in zip(results[drawing][0], expected, strict=True):
        assert logits.shape == alone.shape
        assert largest_error(logits, alone) < error
    assert max(size for _, size in results) < num_bytes * (1.3 / layout.num_ranks + 0.15)


@pytest.mark.parametrize(("name", "tp_size"), [("biased", 4), ("qwen3", 2), ("window", 2)])
def test_ranks_of_a_stage_compute_what_one_computes(name, tp_size):
    check_ranks(SPECS[name], RankLayout(tp_size=tp_size), ERROR)


@pytest.mark.parametrize("tp_size", [1, 2])
def test_stages_compute_what_one_computes(tp_size):
    check_ranks(SPECS["qwen3"], RankLayout(tp_size=tp_size, pp_size=2), ERROR)


def test_narrow_weights_are_split_as_wide_ones():
    options = {"dtype": torch.float32, "weight_dtype": torch.bfloat16}
    check_ranks(SPECS["qwen3"], RankLayout(tp_size=2), ERROR, **options)


@pytest.mark.parametrize("option", ["int8", "int4"])
def test_quantised_shares_differ_by_what_rounding_leaves(option):
    """A rank rounds its own part of a row: of the inputs of a product, and of its weights."""
    quantization = Quantization.of(option, 32)
    check_ranks(SPECS["qwen3"], RankLayout(tp_size=2), 0.15, quantization=quantization)
    check_ranks(SPECS["biased"], RankLayout(pp_size=2), 1e-6, quantization=quantization)


def test_what_a_share_cannot_be_replayed_for_is_named():
    def reason(spec: DecoderSpec, layout: RankLayout) -> str | None:
        share = ModelShare.of(layout, 0, spec.num_layers)
        return why_not_replayed(spec, torch.float32, page_size=16, share=share)

    spec = SPECS["biased"]
    assert reason(spec, RankLayout(tp_size=4, pp_size=2)) is None
    assert "odd" in str(reason(spec, RankLayout(tp_size=2)))
    assert reason(spec, RankLayout(tp_size=2, num_lanes=2)) == "DP-attention"
