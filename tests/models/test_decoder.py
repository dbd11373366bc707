"""The decoder computes what transformers computes, and the comparison notices when it does not."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import pytest
import torch

from sglite.distributed.layout import RankLayout
from sglite.errors import ConfigError
from sglite.executors.forward_batch import AttentionMetadata
from sglite.make_model.presets import FAMILIES, preset_config
from sglite.models.decoder import Decoder, weights_bytes
from sglite.models.hf_config import HFConfig
from sglite.models.layers.attention import SelfAttention
from sglite.models.layers.parallel import ModelShare, TensorParallel
from sglite.models.registry import spec_from_hf
from sglite.models.weight_map import weight_map
from tests.covering import covering_array
from tests.model_harness import (
    PagedSequences,
    Reference,
    check_forced,
    check_greedy,
    hf_config_of,
    largest_error,
    load_decoder,
    num_comparable,
    transformers_reference,
)
from tests.models.parity_models import FACTORS, TRAINED_LENGTH, VOCAB_SIZE, make_model, row_id

NUM_TOKENS = 64
PROMPT_STEP = 5
PLAIN = {"variant": "llama", "rope": "default", "gqa_ratio": 2, "head_dim": 64, "tied": False}
PLAIN |= {"page_size": 2, "chunk": None}

PAIRWISE = covering_array(FACTORS, strength=2)
PRODUCT = [dict(zip(FACTORS, values, strict=True)) for values in product(*FACTORS.values())]
SAMPLE = random.Random(0).sample(PRODUCT, 250)


class Case(NamedTuple):
    """A transformers model and what it says."""

    model: Any
    reference: Reference


@lru_cache(maxsize=32)
def case_of(variant: str, rope: str, gqa_ratio: int, head_dim: int, tied: bool) -> Case:
    row = {"variant": variant, "rope": rope, "gqa_ratio": gqa_ratio, "head_dim": head_dim}
    model = make_model(row | {"tied": tied})
    num_tokens = NUM_TOKENS + PROMPT_STEP
    for seed in range(1, 9):
        prompts = torch.randint(VOCAB_SIZE, (2, 13), generator=torch.Generator().manual_seed(seed))
        reference = transformers_reference(model, prompts, num_tokens=num_tokens)
        # A near tie right at the start would leave nothing to compare.
        if all(num_comparable(logits) == num_tokens for logits in reference.decode_logits):
            return Case(model, reference)
    raise AssertionError("every prompt leads to a near tie")


def case_for(row: dict[str, Any]) -> Case:
    return case_of(*(row[key] for key in ("variant", "rope", "gqa_ratio", "head_dim", "tied")))


def check_parity(
    decoder: Decoder,
    reference: Reference,
    row: dict[str, Any],
    sequences_type: type[PagedSequences] = PagedSequences,
) -> None:
    options = {"page_size": row["page_size"], "sequences_type": sequences_type}
    # Beyond the trained length, dynamic scaling depends on the pieces that a sequence comes in;
    # transformers had the forced tokens in one.
    chunk = None if row["rope"] == "dynamic" else row["chunk"]
    check_forced(decoder, reference, chunk=chunk, **options)
    check_greedy(
        decoder,
        reference,
        num_tokens=NUM_TOKENS,
        chunk=row["chunk"],
        prompt_step=PROMPT_STEP,
        **options,
    )


@pytest.mark.parametrize("row", PAIRWISE, ids=row_id)
def test_tokens_and_logits_are_those_of_transformers(row):
    case = case_for(row)

    check_parity(load_decoder(case.model), case.reference, row)


@pytest.mark.slow
@pytest.mark.parametrize("row", SAMPLE, ids=row_id)
def test_a_sample_of_the_full_product_agrees_as_well(row):
    test_tokens_and_logits_are_those_of_transformers(row)


def test_bfloat16_is_as_close_to_float32_as_transformers_is():
    case = case_for(PLAIN)
    token_ids = case.reference.token_ids[:1]
    decoder = load_decoder(case.model, dtype=torch.bfloat16)
    sequences = PagedSequences(decoder, page_size=2, num_pages=64)
    logits = decoder.compute_logits(sequences.forward({0: token_ids[0].tolist()}))
    theirs = make_model(PLAIN).bfloat16()
    with torch.inference_mode():
        theirs_error = mean_error(theirs(token_ids).logits[0], case.reference.forced_logits[0])

    assert mean_error(logits, case.reference.forced_logits[0]) <= 1.5 * theirs_error


def mean_error(logits: torch.Tensor, expected: torch.Tensor) -> float:
    return (logits.float() - expected).abs().mean().item()


def test_a_prompt_beyond_the_trained_length_agrees_under_dynamic_scaling():
    row = PLAIN | {"rope": "dynamic"}
    model = make_model(row)
    prompts = torch.randint(VOCAB_SIZE, (2, TRAINED_LENGTH + 20))
    reference = transformers_reference(model, prompts, num_tokens=NUM_TOKENS)

    check_greedy(load_decoder(model), reference, num_tokens=NUM_TOKENS, page_size=16, prompt_step=0)


def test_other_rows_have_no_influence_under_dynamic_scaling():
    decoder = load_decoder(case_for(PLAIN | {"rope": "dynamic"}).model)
    short, long = [1, 2, 3], list(range(2 * TRAINED_LENGTH))
    alone = PagedSequences(decoder, page_size=2, num_pages=80).last_logits({0: short})
    together = PagedSequences(decoder, page_size=2, num_pages=80).last_logits({1: long, 0: short})

    assert largest_error(together[1:], alone) <= 1e-5


def test_parameters_are_those_of_the_load_plan_and_of_the_count():
    for row in PAIRWISE[:3] + PAIRWISE[-3:]:
        decoder = load_decoder(make_model(row))
        parameters = dict(decoder.named_parameters())

        assert {target.parameter for target in decoder.load_plan().values()} == set(parameters)
        assert sum(p.numel() for p in parameters.values()) == decoder.spec.num_parameters
        assert not any(p.requires_grad for p in parameters.values())


def test_an_uneven_split_is_refused_by_name():
    spec = load_decoder(case_for(PLAIN).model).spec

    with pytest.raises(ConfigError, match=r"tp_size 3 does not divide num_attention_heads \(4\)"):
        Decoder(spec, share=ModelShare(tp=TensorParallel(0, 3), mlp=TensorParallel(0, 3)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [2, 4, 8])
def test_a_rank_has_its_part_of_the_weights_and_what_is_replicated(family, size):
    config = preset_config(family, "tiny", {"num_attention_heads": 8, "num_key_value_heads": 2})
    spec = replace(spec_from_hf(HFConfig.from_dict(config)), o_bias=True, mlp_bias=True)
    ideal = 0.0
    for name, target in weight_map(spec).items():
        parts = size
        if "norm" in name or name.endswith(("o_proj.bias", "down_proj.bias")):
            parts = 1
        elif "k_proj" in name or "v_proj" in name:
            parts = min(size, spec.num_kv_heads)
        ideal += 4 * math.prod(target.shape) / parts
    for rank in range(size):
        share = ModelShare.of(RankLayout(size), rank, spec.num_layers)
        assert weights_bytes(spec, torch.float32, share) == pytest.approx(ideal, rel=0.05)


def test_the_whole_takes_what_the_parameters_take():
    for row in PAIRWISE[:3]:
        spec = spec_from_hf(hf_config_of(make_model(row)))
        assert weights_bytes(spec, torch.bfloat16, ModelShare()) == 2 * spec.num_parameters


def test_a_stage_has_only_its_layers():
    spec = load_decoder(case_for(PLAIN).model).spec
    stages = [Decoder(spec, share=ModelShare.of(RankLayout(1, 3), rank, 3)) for rank in range(3)]

    assert [list(stage.layer_numbers) for stage in stages] == [[0], [1], [2]]
    assert [len(stage.blocks()) for stage in stages] == [1, 1, 1]
    assert [stage.embed_tokens is not None for stage in stages] == [True, False, False]
    assert [stage.norm is not None for stage in stages] == [False, False, True]
    assert [stage.lm_head is not None for stage in stages] == [False, False, True]
    tied = Decoder(replace(spec, tie_word_embeddings=True), share=stages[2].share)
    assert tied.embed_tokens is not None and tied.lm_head is None
    with pytest.raises(AssertionError, match="the head is on the last stage"):
        stages[0].compute_logits(torch.zeros(1, spec.hidden_size))


# Mutations: each must make the comparison above fail, else it proves nothing.


def assert_caught(decoder: Decoder, row: dict[str, Any], **options: Any) -> None:
    with pytest.raises(AssertionError, match="logits differ"):
        check_parity(decoder, case_for(row).reference, row, **options)
    with pytest.raises(AssertionError, match="tokens differ"):
        check_greedy(
            decoder,
            case_for(row).reference,
            num_tokens=NUM_TOKENS,
            page_size=row["page_size"],
            **options,
        )


def with_rope(decoder: Decoder, **changes: Any) -> Decoder:
    decoder.rotary.spec = replace(decoder.rotary.spec, **changes)
    return decoder


def test_a_wrong_rope_theta_is_caught():
    assert_caught(with_rope(load_decoder(case_for(PLAIN).model), theta=9000.0), PLAIN)


@pytest.mark.parametrize("rope", ["linear", "dynamic", "yarn", "llama3"])
def test_a_rope_scaling_that_is_ignored_is_caught(rope):
    row = PLAIN | {"rope": rope}

    assert_caught(with_rope(load_decoder(case_for(row).model), rope_type="default"), row)


def test_a_missing_yarn_attention_factor_is_caught():
    row = PLAIN | {"rope": "yarn"}

    assert_caught(with_rope(load_decoder(case_for(row).model), attention_factor=1.0), row)


def test_a_missing_qk_norm_is_caught():
    row = PLAIN | {"variant": "qwen3"}
    decoder = load_decoder(case_for(row).model)
    for module in decoder.modules():
        if isinstance(module, SelfAttention):
            module.k_norm = None

    assert_caught(decoder, row)


@pytest.mark.parametrize(
    ("variant", "bias"),
    [
        ("qwen2", "attention.qkv.bias"),
        ("llama-attention-bias", "attention.output.bias"),
        ("llama-mlp-bias", "mlp.down.bias"),
        ("llama-mlp-bias", "mlp.gate_up.bias"),
    ],
)
def test_a_missing_bias_is_caught(variant, bias):
    row = PLAIN | {"variant": variant}
    decoder = load_decoder(case_for(row).model)
    dict(decoder.named_parameters())[f"layers.1.{bias}"].zero_()

    assert_caught(decoder, row)


class WindowOffByOne(PagedSequences):
    def _metadata(self, *args: Any) -> AttentionMetadata:
        metadata = super()._metadata(*args)
        if metadata.window is not None:
            metadata.window -= 1
        return metadata


@pytest.mark.parametrize("variant", ["mistral-window", "qwen2-window", "qwen3-bias-window"])
def test_a_window_that_is_off_by_one_is_caught(variant):
    row = PLAIN | {"variant": variant}

    assert_caught(load_decoder(case_for(row).model), row, sequences_type=WindowOffByOne)


class SwappedSlots(PagedSequences):
    """The KV of the positions 3 and 5 of a prompt lands in each other's slot."""

    def _metadata(self, *args: Any) -> AttentionMetadata:
        metadata = super()._metadata(*args)
        if metadata.out_slots_T.numel() > 5:
            metadata.out_slots_T[[3, 5]] = metadata.out_slots_T[[5, 3]]
        return metadata


class SwappedPages(PagedSequences):
    """Two sequences read each other's first page, once both have one."""

    def _metadata(self, *args: Any) -> AttentionMetadata:
        metadata = super()._metadata(*args)
        if len(metadata.seq_lens) > 1:
            metadata.page_table_RP[[0, 1], 0] = metadata.page_table_RP[[1, 0], 0]
        return metadata


@pytest.mark.parametrize("sequences_type", [SwappedSlots, SwappedPages])
def test_swapped_slots_are_caught(sequences_type):
    assert_caught(load_decoder(case_for(PLAIN).model), PLAIN, sequences_type=sequences_type)
