"""Log-probabilities against torch's log_softmax in float64."""

from __future__ import annotations

import pytest
import torch

from sglite.request import LogprobParams, SamplingParams
from sglite.sampling import logits_chunk_rows, prompt_logprobs
from tests.sampling.setups import packed, row_setup, sample, sampler_with

VOCAB = 500


def exact(logits: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    return (logits.double() / temperature).log_softmax(-1)


def assert_scored(scored, expected_V: torch.Tensor, params: LogprobParams) -> None:
    """All fields of one TokenLogprobs against the exact values of its position."""
    assert scored.logprob == pytest.approx(float(expected_V[scored.token_id]), abs=1e-4)
    order = expected_V.argsort(descending=True, stable=True)[: params.top_num].tolist()
    assert [token for token, _ in scored.top] == order
    assert [token for token, _ in scored.chosen] == list(params.token_ids)
    for token, logprob in (*scored.top, *scored.chosen):
        assert logprob == pytest.approx(float(expected_V[token]), abs=1e-4)


@pytest.mark.parametrize(
    ("sampling", "temperature"),
    [
        (SamplingParams(temperature=0.0), 1.0),
        (SamplingParams(temperature=0.5, top_k=1), 1.0),
        (SamplingParams(temperature=0.5), 0.5),
        (SamplingParams(temperature=2.0, top_k=3), 2.0),
        (SamplingParams(temperature=0.9, top_p=0.3, min_p=0.2), 0.9),
    ],
)
def test_sampled_tokens_are_scored_after_temperature_and_before_filters(sampling, temperature):
    params = LogprobParams(top_num=5, token_ids=(17, 3))
    sampler = sampler_with(VOCAB, row_setup(0, sampling, params))
    logits = torch.randn(1, VOCAB) * 4
    assert_scored(sample(sampler, logits, [0]).logprobs[0], exact(logits, temperature)[0], params)


def test_sampled_tokens_are_scored_after_bias_and_mask():
    params = LogprobParams(top_num=2, token_ids=(0, 4))
    sampling = SamplingParams(temperature=0.5, logit_bias={4: 3.0})
    sampler = sampler_with(VOCAB, row_setup(0, sampling, params))
    logits = torch.randn(1, VOCAB)
    masks = torch.ones(1, VOCAB, dtype=torch.bool)
    masks[0, 0] = False
    scored = sample(sampler, logits, [0], masks=packed(masks)).logprobs[0]
    biased = logits.clone()
    biased[0, 4] += 3.0
    biased[0, 0] = float("-inf")
    assert_scored(scored, exact(biased, 0.5)[0], params)
    assert scored.chosen[0] == (0, float("-inf"))


def test_rows_get_what_each_of_them_asked_for():
    asked = [
        LogprobParams(),
        None,
        LogprobParams(top_num=20),
        LogprobParams(token_ids=tuple(range(128))),
        LogprobParams(top_num=1, token_ids=(7,)),
    ]
    setups = [row_setup(i, SamplingParams(temperature=0.8), p) for i, p in enumerate(asked)]
    logits = torch.randn(5, VOCAB) * 3
    result = sample(sampler_with(VOCAB, *setups), logits, [0, 1, 2, 3, 4])
    assert sorted(result.logprobs) == [0, 2, 3, 4]
    for i, scored in result.logprobs.items():
        assert scored.token_id == result.token_ids[i]
        assert_scored(scored, exact(logits[i], 0.8), asked[i])


def test_tokens_that_a_mask_leaves_out_are_not_among_the_top():
    params = LogprobParams(top_num=4, token_ids=(3, 9))
    sampler = sampler_with(VOCAB, row_setup(0, SamplingParams(), params))
    masks = torch.zeros(1, VOCAB, dtype=torch.bool)
    masks[0, [9, 11]] = True
    scored = sample(sampler, torch.randn(1, VOCAB), [0], masks=packed(masks)).logprobs[0]
    assert {token for token, _ in scored.top} == {9, 11}
    assert scored.chosen[0] == (3, float("-inf")), "it was asked for"
    assert scored.chosen[1] in scored.top


def test_top_tokens_start_with_the_greedy_one_even_among_equals():
    logits = torch.zeros(1, VOCAB)
    setup = row_setup(0, SamplingParams(temperature=0), LogprobParams(top_num=3))
    result = sample(sampler_with(VOCAB, setup), logits, [0])
    assert result.token_ids == [0]
    assert [token for token, _ in result.logprobs[0].top] == [0, 1, 2]


def test_more_top_tokens_than_the_vocabulary_are_all_tokens():
    setups = [row_setup(i, None, LogprobParams(top_num=20)) for i in range(2)]
    result = sample(sampler_with(6, *setups), torch.randn(2, 6), [0, 1])
    assert [len(scored.top) for scored in result.logprobs.values()] == [6, 6]


@pytest.mark.parametrize("chunk_rows", [1, 4, 9, 100])
def test_prompt_is_scored_by_the_raw_logits_whatever_the_chunk(chunk_rows):
    hidden, head = torch.randn(9, 16), torch.randn(16, VOCAB)
    targets = torch.randint(VOCAB, (9,)).tolist()
    params = LogprobParams(start_len=0, top_num=4, token_ids=(1, 499))
    sizes: list[int] = []

    def compute_logits(hidden_TE: torch.Tensor) -> torch.Tensor:
        sizes.append(hidden_TE.shape[0])
        return hidden_TE @ head

    scored = prompt_logprobs(hidden, compute_logits, targets, params, chunk_rows=chunk_rows).read()
    assert max(sizes) <= chunk_rows and sum(sizes) == 9
    assert [position.token_id for position in scored] == targets
    for position, expected_V in zip(scored, exact(hidden @ head), strict=True):
        assert_scored(position, expected_V, params)


def test_prompt_logits_of_a_half_precision_model_are_scored_in_fp32():
    logits = torch.randn(3, VOCAB).bfloat16()
    scored = prompt_logprobs(logits, lambda x: x, [1, 2, 3], LogprobParams(), chunk_rows=2).read()
    expected = exact(logits.float())
    for i, position in enumerate(scored):
        assert position.logprob == pytest.approx(float(expected[i, i + 1]), abs=1e-4)


def test_nothing_to_score_is_nothing():
    hidden = torch.zeros(0, 8)
    assert prompt_logprobs(hidden, lambda x: x, [], LogprobParams(), chunk_rows=4).read() == []


def test_chunks_of_prompt_logits_take_about_64_mb():
    assert 32 << 20 < logits_chunk_rows(151_936) * 151_936 * 4 <= 64 << 20
    assert logits_chunk_rows(10**9) == 1
