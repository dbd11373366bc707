"""The replayed decoder computes what transformers computes, whatever the target, and shares."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from sglite.kernels.cpu import instruction_sets
from sglite.kernels.quantized_linear import QuantizedFormat
from sglite.kernels.quantized_linear.reference import quantize_int4, quantize_int8
from sglite.models.decoder import Decoder
from sglite.models.quantization import Quantization
from sglite.models.replayed_decoder import ReplayedDecoder, why_not_replayed
from tests.covering import covering_array
from tests.kernels.cpu.kernels import extension
from tests.model_harness import (
    RELATIVE_ERROR,
    PagedSequences,
    check_forced,
    check_greedy,
    largest_error,
    load_decoder,
    transformers_reference,
)
from tests.models.parity_models import FACTORS, VOCAB_SIZE, make_model, row_id

extension()

TARGETS = instruction_sets()
PLAIN = {"variant": "qwen3", "rope": "default", "gqa_ratio": 2, "head_dim": 64, "tied": True}
PAIRWISE = covering_array(FACTORS | {"page_size": [16, 32], "chunk": [None, 7, 18]}, strength=2)
NUM_TOKENS = 40
NARROW_ERROR = 0.02
"""Of logits over KV of 8 bits: a number that lies at an edge may be stored one step apart."""


def replayed(decoder: Decoder, target: str = TARGETS[0], **options: Any) -> ReplayedDecoder:
    """The same weights for the compiled kernels."""
    types = {"dtype": torch.float32, "weight_dtype": torch.float32}
    result = ReplayedDecoder(decoder.spec, instruction_set=target, **(types | options))
    for name, target_ in decoder.load_plan().items():
        part = decoder.get_parameter(target_.parameter).data
        result.write(name, target_, part if target_.put is None else part.narrow(*target_.put))
    return result


def prompts(count: int, length: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(VOCAB_SIZE, (count, length), generator=generator)


@pytest.mark.parametrize("row", PAIRWISE, ids=row_id)
def test_tokens_and_logits_are_those_of_transformers(row):
    model = make_model(row)
    reference = transformers_reference(model, prompts(2, 13), num_tokens=NUM_TOKENS + 5)
    decoder = replayed(load_decoder(model))
    # See test_decoder: dynamic scaling depends on the pieces that a sequence comes in.
    chunk = None if row["rope"] == "dynamic" else row["chunk"]
    check_forced(decoder, reference, page_size=row["page_size"], chunk=chunk)


@pytest.mark.parametrize("target", TARGETS)
def test_a_batch_decodes_the_tokens_of_transformers(target):
    model = make_model(PLAIN | {"tied": False})
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        given = torch.randint(VOCAB_SIZE, (3, 21), generator=generator)
        reference = transformers_reference(model, given, num_tokens=NUM_TOKENS + 10)
        try:
            check_greedy(
                replayed(load_decoder(model), target),
                reference,
                num_tokens=NUM_TOKENS,
                page_size=16,
                chunk=7,
            )
        except AssertionError as error:
            if "near tie" in str(error) or "not varied" in str(error):
                continue  # the reference leaves nothing to compare
            raise
        return
    raise AssertionError("every prompt leads to a near tie, or to the same token again and again")


@pytest.mark.parametrize("target", TARGETS)
def test_weights_of_half_the_size_lose_nothing_that_was_not_there(target):
    model = make_model(PLAIN)
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16().float()
    reference = transformers_reference(model, prompts(2, 13), num_tokens=20)
    decoder = replayed(load_decoder(model), target, weight_dtype=torch.bfloat16)
    check_forced(decoder, reference, page_size=16, chunk=9)
    whole = replayed(load_decoder(model), target)
    assert decoder.num_bytes < 0.6 * whole.num_bytes


@pytest.mark.parametrize("target", TARGETS)
def test_bfloat16_is_close_to_float32(target):
    model = make_model(PLAIN)
    reference = transformers_reference(model, prompts(2, 13), num_tokens=20)
    narrow = {"dtype": torch.bfloat16, "weight_dtype": torch.bfloat16}
    decoder = replayed(load_decoder(model), target, **narrow)
    sequences = PagedSequences(decoder, page_size=16, num_pages=20)
    hidden = sequences.forward(dict(enumerate(reference.token_ids.tolist())))
    error = largest_error(
        decoder.compute_logits(hidden).unflatten(0, reference.token_ids.shape),
        reference.forced_logits,
    )
    assert RELATIVE_ERROR < error < 0.1  # of the largest logit; 8 bits of a number are kept


NARROW = [torch.int8, torch.float8_e4m3fn]


@pytest.mark.parametrize("kv_dtype", NARROW, ids=["int8", "fp8_e4m3"])
@pytest.mark.parametrize("variant", ["qwen3", "mistral-window"])
@pytest.mark.parametrize("target", TARGETS)
def test_tokens_over_narrow_kv_are_those_of_torch(target, variant, kv_dtype):
    """Where the best token is clear: a number at an edge of 8 bits may go either way."""
    decoder = load_decoder(make_model(PLAIN | {"variant": variant, "tied": False}))
    pool = {"page_size": 16, "num_pages": 30, "kv_dtype": kv_dtype}
    models = (decoder, replayed(decoder, target))
    each = [PagedSequences(model, **pool) for model in models]  # type: ignore[arg-type]
    runs = dict(enumerate(prompts(3, 21).tolist()))
    num_same = 0
    for _ in range(30):
        expected, found = (sequences.last_logits(runs).clone() for sequences in each)
        assert largest_error(found, expected) < NARROW_ERROR
        best = expected.topk(2, dim=-1).values
        is_clear = best[:, 0] - best[:, 1] > 2 * NARROW_ERROR * expected.abs().amax(dim=-1)
        tokens = expected.argmax(dim=-1)
        assert torch.equal(found.argmax(dim=-1)[is_clear], tokens[is_clear])
        num_same += int(is_clear.sum())
        runs = {row: [token] for row, token in enumerate(tokens.tolist())}
    assert num_same > 45, "most steps are near ties, which leaves no test"


def test_kv_of_another_type_than_the_activations():
    decoder = load_decoder(make_model(PLAIN))
    model = replayed(decoder, dtype=torch.bfloat16)
    runs = dict(enumerate(prompts(2, 40).tolist()))
    expected = PagedSequences(decoder, page_size=16, num_pages=9).last_logits(runs)
    errors = {}
    for kv_dtype in (torch.float32, torch.bfloat16):
        sequences = PagedSequences(model, page_size=16, num_pages=9, kv_dtype=kv_dtype)
        errors[kv_dtype] = largest_error(sequences.last_logits(runs), expected)
    assert errors[torch.float32] < errors[torch.bfloat16] < 0.1


@pytest.mark.parametrize("target", TARGETS)
def test_a_soft_cap_caps_the_same_scores_as_torch(target):
    plain = load_decoder(make_model(PLAIN))
    capped = Decoder(replace(plain.spec, attention_softcap=1.5))
    capped.load_state_dict(plain.state_dict())
    runs = dict(enumerate(prompts(2, 40).tolist()))
    uncapped, expected, found = (
        PagedSequences(model, page_size=16, num_pages=9).last_logits(runs).clone()
        for model in (plain, capped, replayed(capped, target))
    )
    assert largest_error(found, expected) < RELATIVE_ERROR
    assert largest_error(uncapped, expected) > 0.01


def fork(sequences: PagedSequences, parent: int, child: int, num_pages: int) -> None:
    """Let a new sequence begin with whole pages of another."""
    sequences.pages[child] = [table[:num_pages] for table in sequences.pages[parent]]
    sequences.lengths[child] = num_pages * sequences.page_size


@pytest.mark.parametrize("target", TARGETS)
def test_sequences_that_share_a_prefix_compute_the_same_together(target):
    decoder = load_decoder(make_model(PLAIN))
    prefix, tails = prompts(1, 160)[0].tolist(), prompts(6, 9).tolist()
    logits = {}
    for groups in (True, False):
        model = replayed(decoder, target, groups_prefixes=groups)
        sequences = PagedSequences(model, page_size=16, num_pages=60)
        sequences.forward({0: prefix})
        for child in range(1, 6):
            fork(sequences, 0, child, 10 if child < 4 else 5)
        runs = {0: tails[0][:1]} | {child: tails[child] for child in range(1, 6)}
        first = sequences.last_logits(runs).clone()
        assert (model.num_grouped_tokens() > 0) == groups
        second = sequences.last_logits({child: [child] for child in range(6)}).clone()
        logits[groups] = torch.cat((first, second))
    assert largest_error(logits[True], logits[False]) < RELATIVE_ERROR


def logits_of_one(model: ReplayedDecoder, *, beside: int, chunk: int) -> torch.Tensor:
    """Logits of a sequence, 3 tokens after its prompt, while so many others share its start."""
    prompt, tails = prompts(1, 1100)[0].tolist(), prompts(8, 5).tolist()
    sequences = PagedSequences(model, page_size=16, num_pages=240)
    for begin in range(0, len(prompt), chunk):
        sequences.forward({0: prompt[begin : begin + chunk]})
    for child in range(1, beside + 1):
        fork(sequences, 0, child, 9 * child)
    found = []
    for step in range(3):
        # Others come before and after it, with runs of one token and of more.
        others = {child: tails[child][: 1 + child % 3] for child in range(1, beside + 1)}
        runs = dict(sorted({0: [tails[0][step]], **others}.items(), reverse=step == 1))
        found.append(sequences.last_logits(runs)[list(runs).index(0)].clone())
    return torch.stack(found)


@pytest.mark.parametrize("quantization", [None, "int8", "int4"])
@pytest.mark.parametrize("target", TARGETS)
def test_without_groups_the_bits_of_a_sequence_are_its_own(target, quantization):
    options = {"quantization": Quantization.of(quantization, 32)}
    decoder = load_decoder(make_model(PLAIN))
    own = replayed(decoder, target, groups_prefixes=False, **options)
    alone = logits_of_one(own, beside=0, chunk=1100)
    for beside, chunk in ((2, 1100), (7, 1100), (7, 333)):
        assert torch.equal(logits_of_one(own, beside=beside, chunk=chunk), alone)
    if quantization is None:  # rounding may hide the difference
        shared = replayed(decoder, target, **options)
        assert not torch.equal(logits_of_one(shared, beside=7, chunk=1100), alone)


def test_what_cannot_be_replayed_is_named():
    spec = load_decoder(make_model(PLAIN)).spec
    assert why_not_replayed(spec, torch.float32, page_size=16) is None
    assert why_not_replayed(spec, torch.bfloat16, page_size=64) is None
    assert why_not_replayed(spec, torch.float16, page_size=16) == "no float16 activations"
    assert "page_size 8" in str(why_not_replayed(spec, torch.float32, page_size=8))
    odd = replace(spec, head_dim=72)
    assert "head_dim 72" in str(why_not_replayed(odd, torch.float32, page_size=16))
    odd = replace(spec, num_attention_heads=98, num_kv_heads=2)
    assert "48 query heads" in str(why_not_replayed(odd, torch.float32, page_size=16))
    odd = replace(spec, intermediate_size=7)
    assert "odd" in str(why_not_replayed(odd, torch.float32, page_size=16))


def test_buffers_grow_with_the_steps_that_come():
    decoder = load_decoder(make_model(PLAIN))
    model = replayed(decoder)
    sequences = PagedSequences(model, page_size=16, num_pages=40)
    token_ids = prompts(1, 300)[0].tolist()
    pieces = [token_ids[:3], token_ids[3:200], token_ids[200:]]
    hidden = torch.cat([sequences.forward({0: piece}) for piece in pieces])
    expected = PagedSequences(decoder, page_size=16, num_pages=40).forward({0: token_ids})
    logits = model.compute_logits(hidden)
    assert largest_error(logits, decoder.compute_logits(expected)) < RELATIVE_ERROR


def rounded_to(weight: torch.Tensor, layout: QuantizedFormat) -> torch.Tensor:
    """The numbers that quantised weights stand for."""
    if layout.bits == 8:
        codes, scales = quantize_int8(weight)
        return (codes.float() - 128) * scales
    codes, scales = quantize_int4(weight, layout.group_size)
    groups = (codes.float() - 8).unflatten(1, (scales.shape[1], -1)) * scales.float()[..., None]
    return groups.flatten(1)[:, : weight.shape[1]]


@pytest.mark.parametrize("option", ["int8", "int4"])
@pytest.mark.parametrize("target", TARGETS)
def test_quantised_weights_are_in_their_places(target, option):
    quantization = Quantization.of(option, 32)
    assert quantization is not None
    whole = load_decoder(make_model(PLAIN | {"tied": False}))
    types = {"dtype": torch.bfloat16, "weight_dtype": torch.bfloat16}
    narrow = replayed(whole, target, quantization=quantization, **types)
    decoder = replayed(whole, target, quantization=quantization)
    for name, parameter in whole.named_parameters():
        if parameter.dim() == 2:
            layout = quantization.format_of(name.removesuffix(".weight"))
            parameter.data = rounded_to(parameter.data, layout)
    token_ids = dict(enumerate(prompts(2, 13).tolist()))
    logits = []
    for model in (whole, decoder, narrow):
        hidden = PagedSequences(model, page_size=16, num_pages=20).forward(token_ids)
        logits.append(model.compute_logits(hidden).clone())
    # What is left is that activations have 8 bits, and each layer multiplies that.
    for found in logits[1:]:
        assert RELATIVE_ERROR < largest_error(found, logits[0]) < 0.15
    assert decoder.num_bytes < 0.4 * replayed(whole, target).num_bytes
