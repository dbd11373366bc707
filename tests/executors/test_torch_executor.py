"""What every executor does with a plan: on the host, and on a device that is always late."""

from __future__ import annotations

import math

import pytest
import torch

from sglite.executors.executor import Executor
from sglite.executors.torch_executor import TorchExecutor
from sglite.models.decoder import Decoder
from sglite.request import FinishReason, LogprobParams, SamplingParams
from sglite.scheduler.plan import PromptLogprobSpan, RowSetup, StepPlan, StepResult
from tests.engine.harness import GREEDY, Driver
from tests.executors.device import make_device_executor, make_pool
from tests.model_harness import PagedSequences, greedy, load_decoder
from tests.models.parity_models import VOCAB_SIZE, make_model

POISON = 200
"""A token whose embedding is not a number."""

PROMPT = [(11 * i + 5) % 190 for i in range(24)]
PAGE_SIZE = 4


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    row = {"variant": "qwen3", "rope": "default", "gqa_ratio": 2, "head_dim": 64, "tied": False}
    decoder = load_decoder(make_model(row))
    with torch.inference_mode():
        dict(decoder.named_parameters())["embed_tokens.weight"][POISON] = math.nan
    return decoder


@pytest.fixture(params=["torch", "device", "device with graphs"])
def executor(decoder: Decoder, request: pytest.FixtureRequest) -> Executor:
    sizes = {"page_size": PAGE_SIZE, "max_rows": 4, "max_tokens": 128}
    if request.param == "torch":
        pool = make_pool(decoder, 32, PAGE_SIZE)
        return TorchExecutor(decoder, pool, max_rows=4, max_tokens=128, check=True)
    graph_sizes = [1, 2, 4] if "graphs" in request.param else []
    return make_device_executor(decoder, 32, graph_sizes=graph_sizes, **sizes)


def setup(row: int, first_page: int, **changes: object) -> RowSetup:
    values: dict[str, object] = {
        "row": row,
        "request_id": f"r{row}",
        "sampling": GREEDY,
        "logprobs": None,
        "seed": 0,
        "stop_token_ids": (),
        "num_prompt_tokens": len(PROMPT),
        "page_ids": (list(range(first_page, first_page + 8)),),
        "output_token_ids": [],
    }
    return RowSetup(**{**values, **changes})  # type: ignore[arg-type]


def run(executor: Executor, plan: StepPlan) -> StepResult:
    handle = executor.launch(plan)
    executor.sample(handle)
    return executor.collect(handle)


def prefill(*prompts: list[int], added: list[RowSetup]) -> StepPlan:
    return StepPlan(
        1,
        1,
        added_rows=added,
        run_rows=[setup.row for setup in added],
        run_starts=[0] * len(prompts),
        run_lengths=[len(prompt) for prompt in prompts],
        run_continues=[False] * len(prompts),
        token_ids=[token for prompt in prompts for token in prompt],
        sample_runs=list(range(len(prompts))),
    )


def decode(*rows: int, start: int) -> StepPlan:
    return StepPlan(
        2,
        1,
        run_rows=list(rows),
        run_starts=[start] * len(rows),
        run_lengths=[1] * len(rows),
        run_continues=[True] * len(rows),
        sample_runs=list(range(len(rows))),
    )


def expected_tokens(decoder: Decoder, prompt: list[int], count: int) -> list[int]:
    sequences = PagedSequences(decoder, page_size=PAGE_SIZE, num_pages=32)
    return greedy(sequences, {0: prompt}, num_tokens=count)[0]


def test_steps_follow_the_models_greedy_tokens(executor: Executor, decoder: Decoder) -> None:
    other = PROMPT[::-1]
    added = [setup(2, 1), setup(0, 9)]
    tokens = [run(executor, prefill(PROMPT, other, added=added)).token_ids]
    for step in range(3):  # rows 0 and 2 change places: a plan names its rows
        row_order = (0, 2) if step % 2 else (2, 0)
        result = run(executor, decode(*row_order, start=len(PROMPT) + step))
        tokens.append(result.token_ids[::-1] if step % 2 else result.token_ids)
    mine, others = zip(*tokens, strict=True)
    assert list(mine) == expected_tokens(decoder, PROMPT, 4)
    assert list(others) == expected_tokens(decoder, other, 4)


def test_only_the_runs_of_the_plan_are_sampled(executor: Executor, decoder: Decoder) -> None:
    plan = prefill(PROMPT, PROMPT[:7], added=[setup(0, 1), setup(1, 9)])
    plan.sample_runs = [1]
    result = run(executor, plan)
    assert result.token_ids == expected_tokens(decoder, PROMPT[:7], 1)
    assert result.elapsed_s > 0


def test_a_step_without_samples_gives_none(executor: Executor) -> None:
    plan = prefill(PROMPT, added=[setup(0, 1)])
    plan.sample_runs = []
    assert run(executor, plan).token_ids == []


def test_a_nan_marks_its_row_alone(executor: Executor, decoder: Decoder) -> None:
    poisoned = [*PROMPT[:-1], POISON]
    result = run(executor, prefill(poisoned, PROMPT, added=[setup(0, 1), setup(1, 9)]))
    assert result.invalid == {0}
    assert result.token_ids[1] == expected_tokens(decoder, PROMPT, 1)[0]
    # A step that is already under way continues from a token of the vocabulary.
    after = run(executor, decode(0, 1, start=len(PROMPT)))
    assert after.invalid == {0}
    assert after.token_ids[1] == expected_tokens(decoder, PROMPT, 2)[1]


def test_a_nan_in_an_unsampled_chunk_names_its_run(executor: Executor) -> None:
    poisoned = [*PROMPT[:3], POISON, *PROMPT[4:]]
    plan = prefill(PROMPT, poisoned, added=[setup(0, 1), setup(1, 9)])
    plan.sample_runs = []
    assert run(executor, plan).invalid_runs == {1}
    plan = prefill(poisoned, PROMPT, added=[setup(2, 2), setup(3, 10)])
    plan.sample_runs = [0, 1]
    result = run(executor, plan)
    assert (result.invalid_runs, result.invalid) == ({0}, {0})


@pytest.mark.parametrize("max_in_flight", [1, 2])
def test_a_nan_request_leaves_the_others_and_the_pool_unharmed(
    decoder: Decoder, max_in_flight: int
) -> None:
    driver = Driver.make(decoder, page_size=4, num_pages=24, max_in_flight=max_in_flight)
    driver.add("poisoned", [*PROMPT[:-1], POISON], max_new_tokens=8)
    driver.add("beside", PROMPT[::-1], max_new_tokens=8)
    driver.run()
    assert driver.finishes["poisoned"].reason is FinishReason.ERROR
    # The pages with NaN were freed and are used again: the pool is too small for others.
    for number in range(4):
        driver.add(f"after-{number}", [number, *PROMPT[1:]], max_new_tokens=8)
        driver.run()
    assert driver.outputs["beside"] == expected_tokens(decoder, PROMPT[::-1], 8)
    for number in range(4):
        expected = expected_tokens(decoder, [number, *PROMPT[1:]], 8)
        assert driver.outputs[f"after-{number}"] == expected
    driver.engine.close()


@pytest.mark.parametrize("chunk", [5, 64])
def test_prompt_logprobs_are_those_of_the_model(decoder: Decoder, chunk: int) -> None:
    driver = Driver.make(decoder, page_size=4, chunked_prefill_size=chunk)
    wanted = LogprobParams(start_len=0, top_num=3, token_ids=(7,))
    driver.add("r", PROMPT, max_new_tokens=1, logprobs=wanted)
    driver.run()
    sequences = PagedSequences(decoder, page_size=4, num_pages=16)
    logits = decoder.compute_logits(sequences.forward({0: PROMPT}))
    scores = logits.log_softmax(dim=-1)
    entries = driver.prompt_logprobs["r"]
    assert [entry.token_id for entry in entries] == PROMPT[1:]
    for position, entry in enumerate(entries):
        row = scores[position]
        assert entry.logprob == pytest.approx(float(row[PROMPT[position + 1]]), abs=1e-4)
        assert [token for token, _ in entry.top] == row.topk(3).indices.tolist()
        assert entry.chosen[0][1] == pytest.approx(float(row[7]), abs=1e-4)
    assert driver.logprobs["r"][0].logprob == pytest.approx(float(scores[-1].max()), abs=1e-4)


def test_a_span_in_the_middle_of_a_run_is_scored_at_its_place(
    executor: Executor, decoder: Decoder
) -> None:
    plan = prefill(PROMPT[:6], PROMPT, added=[setup(0, 1), setup(1, 9, logprobs=LogprobParams())])
    plan.prompt_logprob_spans = [PromptLogprobSpan(1, 10, 13, PROMPT[10:13])]
    (scored,) = run(executor, plan).prompt_logprobs
    sequences = PagedSequences(decoder, page_size=4, num_pages=16)
    logits = decoder.compute_logits(sequences.forward({0: PROMPT})).log_softmax(dim=-1)
    expected = [float(logits[p - 1, PROMPT[p]]) for p in range(10, 13)]
    assert [entry.logprob for entry in scored] == pytest.approx(expected, abs=1e-4)


def test_a_row_that_changes_hands_starts_afresh(executor: Executor, decoder: Decoder) -> None:
    biased = SamplingParams(temperature=0.0, logit_bias={33: 1000.0})
    first = run(executor, prefill(PROMPT, added=[setup(0, 1, sampling=biased)]))
    assert first.token_ids == [33]
    plan = prefill(PROMPT, added=[setup(0, 9)])
    plan.cleared_rows = [0]
    assert run(executor, plan).token_ids == expected_tokens(decoder, PROMPT, 1)


def test_bad_batches_are_noticed_if_asked_for(executor: Executor) -> None:
    with pytest.raises(AssertionError, match="beyond the vocabulary"):
        executor.launch(prefill([VOCAB_SIZE], added=[setup(0, 1)]))
    executor.close()
