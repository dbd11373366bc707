"""The executor of an accelerator, on a device that does nothing until somebody waits.

What any executor does with a plan is tested in ``test_torch_executor``.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from sglite.executors.torch_executor import TorchExecutor
from sglite.models.decoder import Decoder
from sglite.request import FinishReason, LogprobParams, SamplingParams
from sglite.scheduler.plan import StepPlan
from tests.device_double import LazyDevice, RecordingDevice
from tests.engine.harness import GREEDY, Driver
from tests.executors.device import make_device_executor, make_pool
from tests.executors.test_torch_executor import PROMPT, decode, prefill, setup
from tests.model_harness import load_decoder
from tests.models.parity_models import make_model
from tests.sampling.setups import packed

ROW = {"rope": "default", "gqa_ratio": 2, "head_dim": 64, "tied": True}
NUM_PAGES, PAGE_SIZE, MAX_ROWS = 96, 4, 8


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    """Full and windowed layers: two KV groups."""
    return load_decoder(make_model({"variant": "qwen3-bias-window", **ROW}))


@pytest.fixture(scope="module")
def plain_decoder() -> Decoder:
    return load_decoder(make_model({"variant": "qwen3", **ROW}))


def on_device(
    decoder: Decoder,
    *,
    graph_sizes: list[int],
    tokens_in_pieces: int = 0,
    device: LazyDevice | None = None,
    **options: object,
) -> Driver:
    """A driver whose engine feeds a device that is always late, two steps ahead."""
    sizes = {"page_size": PAGE_SIZE, "num_pages": NUM_PAGES, "max_running_requests": MAX_ROWS}
    driver = Driver.make(decoder, **sizes, max_in_flight=2, **options)
    driver.engine.executor.close()
    driver.engine.executor = make_device_executor(
        decoder,
        NUM_PAGES,
        page_size=PAGE_SIZE,
        max_rows=MAX_ROWS,
        max_tokens=2048,
        graph_sizes=graph_sizes,
        tokens_in_pieces=tokens_in_pieces,
        device=device,
    )
    return driver


def device_of(driver: Driver) -> LazyDevice:
    device = driver.engine.executor._device  # type: ignore[attr-defined]
    assert isinstance(device, LazyDevice)
    return device


def synchronous(decoder: Decoder, **options: object) -> Driver:
    return Driver.make(
        decoder,
        page_size=PAGE_SIZE,
        num_pages=NUM_PAGES,
        max_running_requests=MAX_ROWS,
        **options,
    )


def add_random_requests(driver: Driver, rng: random.Random, count: int) -> None:
    """Greedy, drawn, filtered, penalised and scored requests, some with a common start."""
    common = [rng.randrange(1, 250) for _ in range(3 * PAGE_SIZE)]
    for number in range(count):
        sampling = SamplingParams(
            temperature=rng.choice([0.0, 0.8]),
            top_k=rng.choice([-1, 5]),
            top_p=rng.choice([1.0, 0.9]),
            presence_penalty=rng.choice([0.0, 0.0, 1.0]),
            logit_bias={7: 3.0} if rng.random() < 0.2 else None,
            ignore_eos=True,
        )
        own = [rng.randrange(1, 250) for _ in range(rng.randrange(1, 30))]
        driver.add(
            f"r{number}",
            [*(common if rng.random() < 0.5 else []), *own],
            max_new_tokens=rng.randrange(1, 16),
            sampling=sampling,
            seed=number,
            logprobs=LogprobParams(top_num=2) if rng.random() < 0.2 else None,
        )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("graph_sizes", [[], [1, 2, 4, 8]], ids=["eager", "graphs"])
def test_random_schedules_give_the_tokens_of_one_step_at_a_time(
    decoder: Decoder, seed: int, graph_sizes: list[int]
) -> None:
    """T2 with overlap on: chunks, shared prefixes, retraction, a small pool, a late device."""
    rng = random.Random(seed)
    options = {
        "chunked_prefill_size": rng.choice([3, 16, 64]),
        "retract_every": rng.choice([0, 5]),
        "disable_radix_cache": rng.random() < 0.3,
    }
    expected = synchronous(decoder, **options)
    found = on_device(decoder, graph_sizes=graph_sizes, **options)
    for driver in (expected, found):
        add_random_requests(driver, random.Random(seed), 10)
        driver.run()
    assert found.outputs == expected.outputs
    assert {n: f.reason for n, f in found.finishes.items()} == {
        n: f.reason for n, f in expected.finishes.items()
    }
    for name, scores in expected.logprobs.items():
        assert [s.token_id for s in found.logprobs[name]] == [s.token_id for s in scores]
        pairs = zip(found.logprobs[name], scores, strict=True)
        assert all(abs(mine.logprob - theirs.logprob) < 1e-4 for mine, theirs in pairs)
    if graph_sizes:
        assert device_of(found).num_replays > 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("graph_sizes", [[], [1, 2, 4, 8]], ids=["eager", "graphs"])
def test_random_schedules_in_pieces_give_the_tokens_of_one_step_at_a_time(
    decoder: Decoder, seed: int, graph_sizes: list[int]
) -> None:
    """Most chunks fit the buckets of 16 and 32 tokens, some do not.

    Where all captures are pieces, they are of tensor operations alone: replayed with new numbers.
    """
    rng = random.Random(seed)
    options = {"chunked_prefill_size": [9, 16, 40][seed], "retract_every": rng.choice([0, 5])}
    expected = synchronous(decoder, **options)
    device = LazyDevice() if graph_sizes else RecordingDevice()
    found = on_device(
        decoder, graph_sizes=graph_sizes, tokens_in_pieces=32, device=device, **options
    )
    for driver in (expected, found):
        add_random_requests(driver, random.Random(seed), 6)
        driver.run()
    assert found.outputs == expected.outputs
    pieces = found.engine.executor.pieces  # type: ignore[attr-defined]
    assert pieces.buckets == (16, 32)
    assert pieces._graphs, "some step went through the pieces"
    assert device.num_replays > len(pieces._graphs)


@pytest.mark.parametrize("seed", range(4))
def test_aborted_requests_stop_where_they_were_and_leave_the_others_alone(
    decoder: Decoder, seed: int
) -> None:
    expected = synchronous(decoder)
    add_random_requests(expected, random.Random(seed), 10)
    expected.run()
    driver, rng = on_device(decoder, graph_sizes=[2, 8]), random.Random(seed)
    add_random_requests(driver, rng, 10)
    while driver.engine.has_work:
        if rng.random() < 0.15 and driver.engine.scheduler.live:
            driver.engine.abort(rng.choice(sorted(driver.engine.scheduler.live)))
        outputs = driver.engine.step()
        for request_id, token in outputs.tokens:
            driver.outputs[request_id].append(token)
        driver.finishes |= {finish.request_id: finish for finish in outputs.finished}
    assert len(driver.finishes) == 10
    for name, finish in driver.finishes.items():
        tokens = driver.outputs[name]
        if finish.reason is FinishReason.ABORT:
            assert tokens == expected.outputs[name][: len(tokens)]
        else:
            assert tokens == expected.outputs[name]


def test_launching_waits_for_nothing(plain_decoder: Decoder) -> None:
    executor = make_device_executor(
        plain_decoder, 32, page_size=4, max_rows=4, max_tokens=128, graph_sizes=[1, 2, 4]
    )
    device = executor._device
    assert isinstance(device, LazyDevice)
    handles = []
    for plan in (
        prefill(PROMPT, PROMPT[:5], added=[setup(0, 1), setup(1, 9)]),
        decode(0, 1, start=len(PROMPT)),
    ):
        handles.append(executor.launch(plan))
        executor.sample(handles[-1])
    assert device.num_done == 0
    assert [len(executor.collect(handle).token_ids) for handle in handles] == [2, 2]


def test_a_step_of_many_new_pages_or_new_rows_is_not_replayed(plain_decoder: Decoder) -> None:
    executor = make_device_executor(
        plain_decoder, 96, page_size=1, max_rows=4, max_tokens=128, graph_sizes=[4]
    )
    device = executor._device
    assert isinstance(device, LazyDevice)
    first = executor.launch(prefill(PROMPT, added=[setup(0, 1, page_ids=(list(range(24)),))]))
    plan = decode(0, start=24)
    for index in range(24, 96):
        plan.page_updates[0].add(0, index, index)
    many = executor.launch(plan)
    assert device.num_replays == 0
    few = executor.launch(decode(0, start=25))
    assert device.num_replays == 1
    for handle in (first, many, few):
        executor.sample(handle)
        assert executor.collect(handle).invalid == frozenset()


def test_padding_leaves_all_pages_of_requests_alone(plain_decoder: Decoder) -> None:
    executor = make_device_executor(
        plain_decoder, 32, page_size=4, max_rows=4, max_tokens=128, graph_sizes=[4]
    )
    pool = executor._parts.kv_pool
    for plan in (prefill(PROMPT, added=[setup(0, 1)]), decode(0, start=len(PROMPT))):
        handle = executor.launch(plan)
        executor.sample(handle)
        executor.collect(handle)
    written = pool.storage[0].flatten(3).any(-1).any(0).any(0)
    # 24 tokens fill pages 1 to 6; the next is in page 7, and padding wrote the spare page.
    assert written.nonzero()[:, 0].tolist() == [*range(1, 8), pool.spare_page(0)]


def test_masked_rows_get_a_legal_token_and_the_next_step_continues_from_it(
    plain_decoder: Decoder,
) -> None:
    executor = make_device_executor(
        plain_decoder, 32, page_size=4, max_rows=4, max_tokens=128, graph_sizes=[1, 2, 4]
    )
    plans = [prefill(PROMPT, PROMPT[:9], added=[setup(0, 1), setup(1, 9)])]
    plans += [decode(0, 1, start=len(PROMPT))]
    legal = torch.zeros(1, plain_decoder.spec.vocab_size, dtype=torch.bool)
    legal[0, 33] = True
    masks = packed(legal, [1])
    for plan in plans:
        plan.run_starts = plan.run_starts if plan is plans[0] else [len(PROMPT), 9]
        handle = executor.launch(plan)
        executor.sample(handle, masks)
        assert executor.collect(handle).token_ids[1] == 33
    assert executor._rows.last_token_W[1] == 33


MASKED = {
    "drawn": (SamplingParams(temperature=1.0), [4]),
    "filtered": (SamplingParams(temperature=0.8, top_p=0.9), []),
    "penalized": (SamplingParams(temperature=0, repetition_penalty=1.7), [4]),
}


@pytest.mark.parametrize("name", MASKED)
def test_partly_masked_steps_give_the_tokens_of_the_synchronous_executor(
    plain_decoder: Decoder, name: str
) -> None:
    masked, graph_sizes = MASKED[name]
    vocab_size = plain_decoder.spec.vocab_size
    options = {"max_rows": 4, "max_tokens": 128}
    executors = [
        TorchExecutor(plain_decoder, make_pool(plain_decoder, 32, 4), **options),
        make_device_executor(plain_decoder, 32, page_size=4, graph_sizes=graph_sizes, **options),
    ]
    sampling = [GREEDY, masked, masked]
    added = [replace(setup(row, 1 + 9 * row), sampling=sampling[row]) for row in range(3)]
    plans = [prefill(PROMPT, PROMPT[:9], PROMPT[:5], added=added)]
    for step in range(4):
        plans.append(decode(0, 1, 2, start=0))
        plans[-1].run_starts = [step + length for length in (len(PROMPT), 9, 5)]
    generator = torch.Generator().manual_seed(3)
    legal = torch.rand(len(plans), 2, vocab_size, generator=generator) < 0.1
    legal[2, 1] = False
    answers = []
    for executor in executors:
        handles = [executor.launch(plans[0])]
        for step, entries in enumerate(([0, 2], [1], [0, 2], [1, 2], [0, 1])):
            executor.sample(handles[-1], packed(legal[step, : len(entries)], entries))
            if step + 1 < len(plans):  # the next one is launched before this one is collected
                handles.append(executor.launch(plans[step + 1]))
        results = [executor.collect(handle) for handle in handles]
        answers.append(
            [([max(token, 0) for token in each.token_ids], each.invalid) for each in results]
        )
    assert answers[0] == answers[1]
    assert [sorted(invalid) for _, invalid in answers[0]] == [[], [], [2], [], []]


def test_memory_that_ran_out_is_explained(
    plain_decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = make_device_executor(
        plain_decoder, 32, page_size=4, max_rows=4, max_tokens=128, graph_sizes=[]
    )
    executor._explain_out_of_memory = lambda error: f"lower it: {error}"

    def fail(plan: StepPlan) -> None:
        raise torch.cuda.OutOfMemoryError("tried to allocate 2 GiB")

    monkeypatch.setattr(executor, "_launch", fail)
    with pytest.raises(MemoryError, match="lower it: tried to allocate 2 GiB"):
        executor.launch(prefill(PROMPT, added=[setup(0, 1)]))


def test_models_whose_angles_depend_on_the_length_are_not_captured() -> None:
    row = {"variant": "llama", **ROW, "rope": "dynamic"}
    decoder = load_decoder(make_model(row))
    options = {"chunked_prefill_size": 16}
    expected = synchronous(decoder, **options)
    found = on_device(decoder, graph_sizes=[1, 2, 4, 8], **options)
    for driver in (expected, found):
        for number in range(3):
            driver.add(f"r{number}", PROMPT[number:], max_new_tokens=8, sampling=GREEDY)
        driver.run()
    assert found.outputs == expected.outputs
    assert device_of(found).num_replays == 0
