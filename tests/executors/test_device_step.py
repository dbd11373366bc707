"""A step on the device: at once or in pieces, and what it tells of tokens that went wrong."""

from __future__ import annotations

import math

import pytest
import torch

from sglite.executors.device_executor import DeviceExecutor, DeviceHandle
from sglite.models.decoder import Decoder
from sglite.scheduler.plan import StepPlan
from tests.device_double import LazyDevice, RecordingDevice
from tests.executors.device import make_device_executor
from tests.executors.test_torch_executor import PROMPT, decode, prefill, setup
from tests.model_harness import RELATIVE_ERROR, load_decoder
from tests.models.parity_models import make_model

ROW = {"rope": "default", "gqa_ratio": 2, "head_dim": 64, "tied": False}
SIZES = {"page_size": 4, "max_rows": 4, "max_tokens": 128}
POISON = 200
"""A token whose embedding is not a number."""


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    decoder = load_decoder(make_model({"variant": "qwen3", **ROW}))
    with torch.inference_mode():
        dict(decoder.named_parameters())["embed_tokens.weight"][POISON] = math.nan
    return decoder


@pytest.fixture(scope="module")
def windowed_decoder() -> Decoder:
    """Full and windowed layers: two KV groups."""
    return load_decoder(make_model({"variant": "qwen3-bias-window", **ROW}))


def make_executor(
    decoder: Decoder, *, device: LazyDevice | None = None, tokens_in_pieces: int = 0
) -> DeviceExecutor:
    return make_device_executor(
        decoder, 40, graph_sizes=[], device=device, tokens_in_pieces=tokens_in_pieces, **SIZES
    )


def mixed(single_rows: dict[int, int], chunks: dict[int, tuple[int, list[int]]]) -> StepPlan:
    """Single tokens at their positions, then chunks from theirs on; all runs are sampled."""
    starts = [*single_rows.values(), *(start for start, _ in chunks.values())]
    tokens = [tokens for _, tokens in chunks.values()]
    return StepPlan(
        3,
        1,
        run_rows=[*single_rows, *chunks],
        run_starts=starts,
        run_lengths=[*(1 for _ in single_rows), *map(len, tokens)],
        run_continues=[*(True for _ in single_rows), *(False for _ in chunks)],
        token_ids=[token for chunk in tokens for token in chunk],
        sample_runs=list(range(len(starts))),
    )


def several_steps(num_groups: int) -> list[StepPlan]:
    """Two prompts, single tokens, a mixed step with a new row, a step that samples nothing."""
    pages = [(list(range(first, first + 8)),) * num_groups for first in (1, 9, 17)]
    added = [setup(row, 1, page_ids=pages[row]) for row in range(3)]
    third = mixed({1: 8, 0: 25}, {2: (0, PROMPT[:13])})
    third.added_rows = [added[2]]
    fourth = mixed({}, {2: (13, PROMPT[13:18])})
    fourth.sample_runs = []
    plans = [
        prefill(PROMPT, PROMPT[3:10], added=added[:2]),
        decode(0, 1, start=24),
        third,
        fourth,
        mixed({2: 18, 0: 26}, {}),
    ]
    plans[1].run_starts = [24, 7]
    for plan in plans:
        plan.num_groups = num_groups
        plan.page_updates = plan.page_updates * num_groups
    return plans


def results_of(executor: DeviceExecutor, handle: DeviceHandle) -> list[int]:
    """What the step left on the device, sampled tokens and then counts of its chunks."""
    executor._device.synchronize()
    plan = handle.plan
    num_chunks = plan.run_continues.count(False)
    return executor._results[: len(plan.sample_runs) + num_chunks].tolist()


def assert_near(found: torch.Tensor | None, expected: torch.Tensor | None) -> None:
    """Products of more tokens, as padding has them, are summed in another order."""
    assert found is not None
    assert expected is not None
    atol = RELATIVE_ERROR * expected.abs().max().item()
    torch.testing.assert_close(found, expected, atol=atol, rtol=0.0)


@pytest.mark.parametrize("device_class", [LazyDevice, RecordingDevice])
@pytest.mark.parametrize("kind", ["one group", "two groups"])
def test_a_step_in_pieces_is_the_step_at_once(
    decoder: Decoder, windowed_decoder: Decoder, kind: str, device_class: type[LazyDevice]
) -> None:
    model = decoder if kind == "one group" else windowed_decoder
    at_once = make_executor(model)
    in_pieces = make_executor(model, device=device_class(), tokens_in_pieces=16)
    replays = []
    for plan in several_steps(len(model.spec.kv_groups())):
        expected, found = at_once.launch(plan), in_pieces.launch(plan)
        assert results_of(in_pieces, found) == results_of(at_once, expected)
        assert_near(found.step.hidden_TE, expected.step.hidden_TE)
        if plan.sample_runs:
            assert_near(found.step.logits_SV, expected.step.logits_SV)
        else:
            assert found.step.logits_SV is None
        replays.append(in_pieces._device.num_replays)
    assert in_pieces._rows.last_token_W.tolist() == at_once._rows.last_token_W.tolist()
    # The first has 31 tokens, more than a bucket; the others replay four pieces each.
    assert replays == [0, 4, 8, 12, 16]


def test_run_in_pieces_does_nothing_before_somebody_waits(decoder: Decoder) -> None:
    executor = make_executor(decoder, tokens_in_pieces=16)
    device = executor._device
    executor.launch(prefill(PROMPT[:9], added=[setup(0, 1)]))
    assert device.num_done == 0
    device.synchronize()
    assert executor._rows.last_token_W[0] != 0


@pytest.mark.parametrize("tokens_in_pieces", [0, 32], ids=["at once", "in pieces"])
def test_bad_tokens_are_counted_per_chunk(decoder: Decoder, tokens_in_pieces: int) -> None:
    executor = make_executor(decoder, tokens_in_pieces=tokens_in_pieces)
    prompt = PROMPT[:6]
    executor.launch(prefill(prompt, added=[setup(0, 1)]))
    executor._device.synchronize()
    executor._rows.last_token_W[0] = POISON
    # What comes after a bad token in its sequence is bad too: it attends to it.
    chunks = {
        1: (0, [*prompt, POISON, POISON]),
        2: (0, prompt),
        3: (0, [*prompt[:2], POISON, *prompt[:1]]),
    }
    plan = mixed({0: 6}, chunks)
    plan.added_rows = [setup(1, 9), setup(2, 17), setup(3, 25)]
    results = results_of(executor, executor.launch(plan))
    tokens, counts = results[:4], results[4:]
    assert [token < 0 for token in tokens] == [True, True, False, True]
    assert counts == [2, 0, 2], "the bad single token is no chunk's"


def test_counts_stand_behind_the_tokens_where_not_all_runs_are_sampled(decoder: Decoder) -> None:
    executor = make_executor(decoder)
    plan = prefill([1, POISON, 3], [4, 5], added=[setup(0, 1), setup(1, 9)])
    plan.sample_runs = [1]
    token, *counts = results_of(executor, executor.launch(plan))
    assert 0 <= token < decoder.spec.vocab_size
    assert counts == [2, 0]


def test_a_captured_step_writes_its_page_tables_and_counts_nothing(decoder: Decoder) -> None:
    """Of a single token the logits tell whether it went wrong."""
    executor = make_device_executor(decoder, 40, graph_sizes=[2], **SIZES)
    rows, device = executor._rows, executor._device
    executor.launch(prefill(PROMPT[:4], added=[setup(0, 1, page_ids=([7],))]))
    device.synchronize()
    rows.last_token_W[0] = POISON
    executor._results.fill_(5)
    plan = decode(0, start=4)
    plan.page_updates[0].add(0, 1, 3)
    executor.launch(plan)
    device.synchronize()
    assert device.num_replays == 1
    assert rows.page_tables[0][0, :3].tolist() == [7, 3, 0]
    assert executor._results[0] == -1
    assert executor._results[2:].tolist() == [5] * (len(executor._results) - 2)
