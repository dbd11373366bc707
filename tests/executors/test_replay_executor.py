"""The executor over the compiled kernels answers as the one over torch, and in one call a step."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from sglite.distributed.layout import RankLayout
from sglite.distributed.open_groups import RankGroups
from sglite.errors import RankLostError
from sglite.executors.forward_batch import HostDraws
from sglite.executors.replay_executor import ReplayExecutor
from sglite.executors.step_agreement import StepAgreement
from sglite.executors.torch_executor import TorchExecutor
from sglite.kernels.cpu import instruction_sets
from sglite.kvcache.kv_pool import KVPool
from sglite.models.decoder import Decoder
from sglite.models.layers.parallel import ModelShare
from sglite.models.replayed_decoder import ReplayedDecoder
from sglite.models.weight_map import weight_map
from sglite.request import LogprobParams, SamplingParams
from sglite.sampling import TokenMasks
from sglite.scheduler.plan import PromptLogprobSpan, RowSetup, StepPlan, StepResult
from tests.distributed.rank_threads import run_ranks
from tests.engine.harness import GREEDY
from tests.kernels.cpu.kernels import extension
from tests.model_harness import load_decoder
from tests.models.parity_models import make_model
from tests.sampling.setups import packed

extension()

POISON = 200
PAGE_SIZE = 16
PROMPTS = [[(7 * i + 3 * row) % 190 for i in range(20 + row)] for row in range(3)]


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    row = {"variant": "qwen3", "rope": "default", "gqa_ratio": 2, "head_dim": 64, "tied": False}
    decoder = load_decoder(make_model(row))
    with torch.inference_mode():
        decoder.get_parameter("embed_tokens.weight")[POISON] = math.nan
    return decoder


def executors(decoder: Decoder) -> list[Any]:
    replayed = replayed_share(decoder, ModelShare())
    kinds: tuple[tuple[Any, Any], ...] = ((decoder, TorchExecutor), (replayed, ReplayExecutor))
    return [
        kind(model, pool_for(model), max_rows=4, max_tokens=128, check=True)
        for model, kind in kinds
    ]


def replayed_share(decoder: Decoder, share: ModelShare) -> ReplayedDecoder:
    """A share of the same weights for the compiled kernels."""
    replayed = ReplayedDecoder(
        decoder.spec,
        dtype=torch.float32,
        weight_dtype=torch.float32,
        instruction_set=instruction_sets()[0],
        share=share,
    )
    whole = decoder.load_plan()
    for name, target in weight_map(decoder.spec, share).items():
        part, put = decoder.get_parameter(whole[name].parameter).data, whole[name].put
        replayed.write(name, target, part if put is None else part.narrow(*put))
    return replayed


def pool_for(model: Any) -> KVPool:
    groups = model.spec.kv_groups()
    return KVPool(
        groups,
        [16] * len(groups),
        page_size=PAGE_SIZE,
        num_kv_heads=model.num_kv_heads,
        head_dim=model.spec.head_dim,
        dtype=torch.float32,
        layout=model.kv_layout,
    )


def setup(row: int, sampling: SamplingParams, logprobs: LogprobParams | None = None) -> RowSetup:
    pages = [1 + 3 * row + i for i in range(3)]
    return RowSetup(row, f"r{row}", sampling, logprobs, 7, (), len(PROMPTS[row]), (pages,), [])


def prefill(setups: list[RowSetup], spans: list[PromptLogprobSpan] | None = None) -> StepPlan:
    rows = [each.row for each in setups]
    return StepPlan(
        1,
        1,
        added_rows=setups,
        run_rows=rows,
        run_starts=[0] * len(rows),
        run_lengths=[len(PROMPTS[row]) for row in rows],
        run_continues=[False] * len(rows),
        token_ids=[token for row in rows for token in PROMPTS[row]],
        sample_runs=list(range(len(rows))),
        prompt_logprob_spans=spans or [],
    )


def decode(rows: list[int], step: int) -> StepPlan:
    count = len(rows)
    return StepPlan(
        1 + step,
        1,
        run_rows=rows,
        run_starts=[len(PROMPTS[row]) + step - 1 for row in rows],
        run_lengths=[1] * count,
        run_continues=[True] * count,
        sample_runs=list(range(count)),
    )


def carry_out(executor: Any, plan: StepPlan, masks: TokenMasks | None = None) -> StepResult:
    handle = executor.launch(plan)
    executor.sample(handle, masks)
    result: StepResult = executor.collect(handle)
    return result


SETTINGS = {
    "greedy": GREEDY,
    "drawn": SamplingParams(temperature=1.0),
    "filtered": SamplingParams(temperature=0.8, top_k=9, top_p=0.9),
    "penalized": SamplingParams(temperature=0, repetition_penalty=1.7),
    "biased": SamplingParams(temperature=0, logit_bias={5: 9.0}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_way_to_sample_gives_the_tokens_of_torch(decoder, name):
    answers = []
    for executor in executors(decoder):
        setups = [setup(0, SETTINGS[name]), setup(1, GREEDY), setup(2, SETTINGS[name])]
        steps = [carry_out(executor, prefill(setups))]
        steps += [carry_out(executor, decode([0, 1, 2], step)) for step in range(1, 8)]
        answers.append([step.token_ids for step in steps])
    assert answers[0] == answers[1]
    assert len({tuple(step) for step in answers[0]}) > 3


def test_logprobs_of_output_and_prompt_are_those_of_torch(decoder):
    logprobs = LogprobParams(top_num=3, token_ids=(4, 9))
    span = PromptLogprobSpan(run=0, start=1, end=20, targets=PROMPTS[0][1:20])
    plan = prefill([setup(0, GREEDY, logprobs), setup(1, GREEDY)], [span])
    results = [carry_out(executor, plan) for executor in executors(decoder)]
    expected, found = ([r.logprobs[0], *r.prompt_logprobs[0]] for r in results)
    assert len(found) == len(expected) == 20
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.token_id == theirs.token_id
        assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-3)
        assert [token for token, _ in ours.top] == [token for token, _ in theirs.top]


def count_calls(executor: Any, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The rows of each later call of the sampler."""
    calls: list[list[int]] = []
    sample = executor._sampler.sample

    def counted(logits: torch.Tensor, rows: list[int], *rest: Any) -> Any:
        calls.append(list(rows))
        return sample(logits, rows, *rest)

    monkeypatch.setattr(executor._sampler, "sample", counted)
    return calls


COMPANY = {
    "penalized": (SamplingParams(repetition_penalty=1.3), None),
    "biased": (SamplingParams(top_k=5, logit_bias={5: 3.0}), None),
    "scored": (SamplingParams(top_p=0.9), LogprobParams(top_num=2)),
    "not to end yet": (SamplingParams(min_new_tokens=9), None),
}


@pytest.mark.parametrize("name", COMPANY)
def test_only_rows_that_need_it_reach_the_sampler(decoder, monkeypatch, name):
    torch_executor, executor = executors(decoder)
    calls = count_calls(executor, monkeypatch)
    special = replace(setup(1, *COMPANY[name]), stop_token_ids=(3,))
    setups = [setup(0, SETTINGS["filtered"]), special, setup(2, SETTINGS["drawn"])]
    for plan in (prefill(setups), *(decode([0, 1, 2], step) for step in range(1, 4))):
        ours, theirs = carry_out(executor, plan), carry_out(torch_executor, plan)
        assert ours.token_ids == theirs.token_ids
        assert set(ours.logprobs) == set(theirs.logprobs) == ({1} if name == "scored" else set())
    assert calls == [[1]] * 4


def test_steps_that_only_draw_never_reach_the_sampler(decoder, monkeypatch):
    executor = executors(decoder)[1]
    calls = count_calls(executor, monkeypatch)
    names = ("greedy", "drawn", "filtered")
    carry_out(executor, prefill([setup(i, SETTINGS[name]) for i, name in enumerate(names)]))
    assert calls == []


def some_legal(decoder: Decoder, count: int, seed: int) -> torch.Tensor:
    """Bool ``[count, V]``: about one token in ten."""
    generator = torch.Generator().manual_seed(seed)
    legal = torch.rand(count, decoder.spec.vocab_size, generator=generator) < 0.1
    legal[:, 17] = True
    return legal


@pytest.mark.parametrize("name", SETTINGS)
def test_masked_rows_get_the_tokens_of_torch(decoder, name):
    torch_executor, executor = executors(decoder)
    setups = [setup(0, SETTINGS[name]), setup(1, SETTINGS[name]), setup(2, SETTINGS["filtered"])]
    cases = itertools.product(([1], [0, 2], [0, 1, 2]), ([], [1, 2], [0, 1, 2]))
    for step, (entries, expected) in enumerate(cases):
        plan = decode([0, 1, 2], step) if step else prefill(setups)
        plan.masked_runs = expected  # that some are not masked, and others are, does no harm
        legal = some_legal(decoder, len(entries), step)
        masks = packed(legal, entries)
        found = [carry_out(each, plan, masks).token_ids for each in (torch_executor, executor)]
        assert found[0] == found[1]
        assert all(mask[found[1][entry]] for entry, mask in zip(entries, legal, strict=True))


def count_draws(executor: Any, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The samples that each later call draws, with the step or after it."""
    calls: list[list[int]] = []
    model = executor._replayed
    draw, replay = model.draw, type(model).__call__

    def counted(draws: HostDraws) -> None:
        calls.append(draws.samples.tolist())
        draw(draws)

    def replayed(self: ReplayedDecoder, batch: Any, kv_pool: KVPool) -> torch.Tensor:
        if self is model:
            calls.append(batch.draws.samples.tolist())
        return replay(self, batch, kv_pool)

    monkeypatch.setattr(model, "draw", counted)
    monkeypatch.setattr(ReplayedDecoder, "__call__", replayed)
    return calls


DRAWS = {
    "as expected": ([1, 2], [1, 2], [[0], [1, 2]]),
    "one did not come": ([1, 2], [2], [[0], [1], [2]]),
    "none came": ([0, 1, 2], [], [[], [0, 1, 2]]),
    "not expected": ([], [1], [[0, 1, 2], [1]]),
}


@pytest.mark.parametrize("case", DRAWS)
def test_rows_that_wait_for_masks_are_drawn_once_and_without_the_sampler(
    decoder, monkeypatch, case
):
    expected, entries, draws = DRAWS[case]
    executor = executors(decoder)[1]
    sampled = count_calls(executor, monkeypatch)
    drawn = count_draws(executor, monkeypatch)
    plan = prefill([setup(row, SETTINGS["drawn"]) for row in range(3)])
    plan.masked_runs = expected
    masks = packed(some_legal(decoder, len(entries), 1), entries) if entries else None
    result = carry_out(executor, plan, masks)
    assert (drawn, sampled, result.invalid) == (draws, [], frozenset())


def test_masked_rows_with_penalties_take_their_mask_to_the_sampler(decoder, monkeypatch):
    executor = executors(decoder)[1]
    sampled = count_calls(executor, monkeypatch)
    drawn = count_draws(executor, monkeypatch)
    setups = [setup(0, GREEDY), setup(1, SETTINGS["penalized"]), setup(2, SETTINGS["drawn"])]
    plan = prefill(setups)
    plan.masked_runs = [1, 2]
    legal = torch.zeros(2, decoder.spec.vocab_size, dtype=torch.bool)
    legal[0, 18] = legal[1, 19] = True
    result = carry_out(executor, plan, packed(legal, [1, 2]))
    assert result.token_ids[1:] == [18, 19]
    assert (drawn, sampled) == ([[0], [2]], [[1]])


def test_rows_without_a_legal_token_are_invalid_alone(decoder):
    legal = some_legal(decoder, 2, 1)
    legal[0] = False
    plan = prefill([setup(row, SETTINGS["filtered"]) for row in range(3)])
    results = [carry_out(each, plan, packed(legal, [0, 2])) for each in executors(decoder)]
    assert [result.invalid for result in results] == [{0}, {0}]
    assert results[0].token_ids == results[1].token_ids


@pytest.mark.parametrize("name", ["drawn", "filtered", "penalized"])
def test_a_row_without_a_number_ends_alone_however_it_is_sampled(decoder, name):
    for executor in executors(decoder):
        plan = prefill([setup(0, SETTINGS[name]), setup(1, SETTINGS["filtered"])])
        plan.token_ids[4] = POISON
        result = carry_out(executor, plan)
        assert (result.invalid, result.token_ids[0]) == ({0}, 0)


def test_a_prompt_with_no_number_ends_alone(decoder):
    for executor in executors(decoder):
        plan = prefill([setup(0, GREEDY), setup(1, GREEDY)])
        plan.token_ids[4] = POISON
        result = carry_out(executor, plan)
        assert result.invalid == {0}
        assert result.invalid_runs == {0}


def test_a_step_without_samples_has_no_tokens(decoder):
    executor = executors(decoder)[1]
    plan = prefill([setup(0, GREEDY)])
    plan.sample_runs = []
    assert carry_out(executor, plan).token_ids == []


def rank_executor(decoder: Decoder, layout: RankLayout, rank: int, groups: RankGroups) -> Any:
    """One rank's executor; tokens are drawn by rank 0."""
    share = ModelShare.of(layout, rank, decoder.spec.num_layers, groups.stage)
    model = replayed_share(decoder, share)
    assert groups.ranks is not None
    agreement = StepAgreement(groups.ranks, max_rows=4, device=torch.device("cpu"))
    sizes = {"max_rows": 4, "max_tokens": 128}
    return ReplayExecutor(model, pool_for(model), check=True, agreement=agreement, **sizes)


def test_ranks_answer_as_torch_alone(decoder):
    layout = RankLayout(tp_size=2)
    scored = LogprobParams(top_num=3, token_ids=(4, 9))
    span = PromptLogprobSpan(run=0, start=1, end=20, targets=PROMPTS[0][1:20])
    setups = [setup(0, GREEDY, scored), setup(1, SETTINGS["penalized"])]
    setups.append(setup(2, SETTINGS["filtered"]))
    plans = [prefill(setups, [span]), *(decode([0, 1, 2], step) for step in range(1, 6))]
    masks = packed(some_legal(decoder, 2, 1), [1, 2])
    plans[2].masked_runs = [1, 2]

    def run(executor: Any) -> list[StepResult]:
        return [carry_out(executor, p, masks if p is plans[2] else None) for p in plans]

    expected = run(executors(decoder)[0])
    first, second = run_ranks(
        layout, lambda rank, groups: run(rank_executor(decoder, layout, rank, groups))
    )
    assert [step.token_ids for step in first] == [step.token_ids for step in expected]
    ours = [first[0].logprobs[0], *first[0].prompt_logprobs[0]]
    theirs = [expected[0].logprobs[0], *expected[0].prompt_logprobs[0]]
    assert [each.token_id for each in ours] == [each.token_id for each in theirs]
    for found, known in zip(ours, theirs, strict=True):
        assert found.logprob == pytest.approx(known.logprob, abs=1e-3)
    assert [step.token_ids for step in second] == [[]] * len(plans), "rank 1 draws nothing"


def test_ranks_that_read_other_tokens_are_found(decoder):
    layout = RankLayout(tp_size=2)

    def work(rank: int, groups: RankGroups) -> str:
        executor = rank_executor(decoder, layout, rank, groups)
        plan = prefill([setup(0, GREEDY)])
        plan.token_ids[3] += rank
        with pytest.raises(RankLostError) as raised:
            carry_out(executor, plan)
        return str(raised.value)

    assert all("ranks disagree in step 1" in text for text in run_ranks(layout, work))


def test_a_rank_that_computes_with_torch_is_found(decoder):
    layout = RankLayout(tp_size=2)

    def work(rank: int, groups: RankGroups) -> str:
        assert groups.ranks is not None
        agreement = StepAgreement(groups.ranks, max_rows=4, device=torch.device("cpu"))
        share = ModelShare.of(layout, rank, decoder.spec.num_layers, groups.stage)
        model: Any = replayed_share(decoder, share)
        kind: Any = ReplayExecutor
        if rank == 1:
            model, kind = Decoder(decoder.spec, share=share).eval(), TorchExecutor
        made = kind(model, pool_for(model), max_rows=4, max_tokens=128, agreement=agreement)
        with pytest.raises(RankLostError) as raised:
            carry_out(made, prefill([setup(0, GREEDY)]))
        return str(raised.value)

    assert all("ranks disagree in step 1" in text for text in run_ranks(layout, work))
