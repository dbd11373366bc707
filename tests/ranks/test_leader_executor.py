"""An engine of several ranks gives the tokens of one, and ends loudly where they part."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from sglite.attention.backend import AttentionBackend, AttentionShape
from sglite.attention.triton_backend import TritonBackend
from sglite.errors import RankLostError
from sglite.executors import device_assembly
from sglite.executors.executor import Executor
from sglite.models.hf_config import HFConfig
from sglite.models.registry import spec_from_hf
from sglite.models.spec import DecoderSpec
from sglite.ranks.leader_executor import LeaderExecutor
from sglite.ranks.rank_links import RankLinks
from sglite.ranks.rank_team import RankTeam
from sglite.request import LogprobParams, SamplingParams
from sglite.scheduler.plan import StepPlan
from tests.device_double import BusyDevice, LazyDevice
from tests.engine.harness import GREEDY, Driver
from tests.executors.test_stage_executor import constrain_some
from tests.ranks.thread_ranks import decoder_of, random_weights, thread_ranks

NUM_PAGES = 40


@pytest.fixture(scope="module")
def spec() -> DecoderSpec:
    return spec_from_hf(
        HFConfig.from_dict(
            {
                "architectures": ["Qwen3ForCausalLM"],
                "num_hidden_layers": 2,
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "head_dim": 8,
                "vocab_size": 101,
                "max_position_embeddings": 512,
                "rms_norm_eps": 1e-6,
                "rope_theta": 10000.0,
                "tie_word_embeddings": False,
            }
        )
    )


def add_requests(driver: Driver) -> None:
    """Shared prefixes, long prompts, sampling, penalties, scores of prompts and answers."""
    shuffle = random.Random(3)
    shared = [shuffle.randrange(101) for _ in range(20)]
    for number in range(6):
        prompt = shared[: 5 + 2 * number] + [shuffle.randrange(101) for _ in range(3)]
        traits: dict[str, Any] = {}
        if number % 3 == 1:
            sampling = SamplingParams(temperature=1.0, ignore_eos=True, presence_penalty=0.5)
            traits = {"sampling": sampling, "seed": number}
        if number % 2 == 0:
            traits["logprobs"] = LogprobParams(start_len=2, top_num=2)
        driver.add(f"r{number}", prompt, max_new_tokens=8, **traits)


def scores_of(driver: Driver) -> list[float]:
    """All log-probabilities of prompts and answers, one after the other."""
    kept = [*driver.logprobs.values(), *driver.prompt_logprobs.values()]
    return [each.logprob for of_one in kept for each in of_one if each.logprob is not None]


@pytest.mark.parametrize(("tp_size", "in_flight"), [(2, 2), (4, 1)])
def test_ranks_say_what_one_says(spec: DecoderSpec, tp_size: int, in_flight: int) -> None:
    weights = random_weights(spec)
    options = {"page_size": 4, "chunked_prefill_size": 7, "max_in_flight": in_flight}
    alone = Driver.make(
        decoder_of(spec, weights, None), num_pages=NUM_PAGES, retract_every=3,
        max_running_requests=16, context_length=512, **options,
    )  # fmt: skip
    add_requests(alone)
    alone.run()
    with thread_ranks(spec, weights, NUM_PAGES, tp_size=tp_size, **options) as (ranks, own):
        driver = ranks.driver(own, NUM_PAGES, retract_every=3)
        add_requests(driver)
        driver.run()
        driver.engine.close()
    assert driver.outputs == alone.outputs
    assert len(scores_of(alone)) > 20
    assert scores_of(driver) == pytest.approx(scores_of(alone), abs=1e-4)
    assert ranks.faults == {}
    assert sum(finish.num_retractions for finish in driver.finishes.values()) > 0


@pytest.fixture
def busy_devices() -> Iterator[list[BusyDevice]]:
    devices = [BusyDevice(), BusyDevice()]
    yield devices
    for device in devices:
        device.close()


@pytest.mark.parametrize(
    ("in_flight", "graphs"),
    [(2, {"cuda_graph_max_bs": 4, "cuda_graph_max_tokens": 16}), (1, {})],
    ids=["overlap-graphs", "eager"],
)
def test_ranks_with_devices_say_what_one_says(
    spec: DecoderSpec,
    busy_devices: list[BusyDevice],
    monkeypatch: pytest.MonkeyPatch,
    in_flight: int,
    graphs: dict[str, Any],
) -> None:
    """With chunks, shared prefixes, penalties, masks, scores and retraction."""
    monkeypatch.setattr(device_assembly, "make_backend", make_capturable_backend)
    weights = random_weights(spec)
    options = {"page_size": 4, "chunked_prefill_size": 7, "max_in_flight": in_flight}
    alone = Driver.make(
        decoder_of(spec, weights, None), num_pages=NUM_PAGES, retract_every=3,
        max_running_requests=16, context_length=512, make_constraint=constrain_some, **options,
    )  # fmt: skip
    add_requests(alone)
    alone.run()
    with thread_ranks(
        spec, weights, NUM_PAGES, devices=busy_devices, tp_size=2, **graphs, **options
    ) as (ranks, own):
        driver = ranks.driver(own, NUM_PAGES, retract_every=3, make_constraint=constrain_some)
        add_requests(driver)
        driver.run()
        driver.engine.close()
    assert driver.outputs == alone.outputs
    assert len(scores_of(alone)) > 20
    assert scores_of(driver) == pytest.approx(scores_of(alone), abs=1e-4)
    assert ranks.faults == {}
    assert sum(finish.num_retractions for finish in driver.finishes.values()) > 0
    assert [device.num_replays > 0 for device in busy_devices] == [bool(graphs)] * 2


def make_capturable_backend(
    name: str, kind: str, shape: AttentionShape, device: torch.device, **options: Any
) -> AttentionBackend:
    """The attention of a GPU, on the host."""
    return TritonBackend(
        shape,
        is_decode=kind == "decode",
        max_seq_len=options["max_seq_len"],
        num_multiprocessors=options["num_multiprocessors"],
    )


def test_a_rank_whose_device_reads_another_token_is_found_by_all(
    spec: DecoderSpec, busy_devices: list[BusyDevice]
) -> None:
    def wrap(rank: int, executor: Executor) -> Executor:
        return Flips(executor, busy_devices[1])

    message, faults = run_until_lost(
        spec, wrap, tp_size=2, timeout_s=5.0, max_in_flight=2, devices=busy_devices
    )
    assert "ranks disagree in step 5" in message
    assert str(faults[1]) == message


class Flips:
    """An executor that reads another token than it should, in its fifth step."""

    def __init__(self, inner: Any, device: LazyDevice | None = None) -> None:
        self.inner = inner
        self.device = device
        self.num_steps = 0

    def launch(self, plan: StepPlan) -> Any:
        self.num_steps += 1
        if self.num_steps == 5:
            if self.device is not None:
                self.device.synchronize()
            self.inner._rows.last_token_W[plan.run_rows[0]] ^= 1
        return self.inner.launch(plan)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def run_until_lost(spec: DecoderSpec, wrap: Any, **options: Any) -> tuple[str, dict[int, Any]]:
    """What the engine ends with, and what the other ranks do."""
    with thread_ranks(spec, random_weights(spec), 32, wrap=wrap, **options) as (ranks, own):
        driver = ranks.driver(own, 32)
        driver.add("r", [1, 2, 3], max_new_tokens=30)
        with pytest.raises(RankLostError) as caught:
            driver.run()
        driver.engine.close()
    return str(caught.value), ranks.faults


def test_a_rank_that_reads_another_token_is_found_by_all_in_that_step(spec: DecoderSpec) -> None:
    def wrap(rank: int, executor: Executor) -> Executor:
        return Flips(executor) if rank == 2 else executor

    message, faults = run_until_lost(spec, wrap, tp_size=4, timeout_s=5.0)
    assert "ranks disagree in step 5" in message
    assert {rank: str(fault) for rank, fault in faults.items()} == dict.fromkeys((1, 2, 3), message)


class Fails(Flips):
    def launch(self, plan: StepPlan) -> Any:
        self.num_steps += 1
        if self.num_steps == 3:
            raise ArithmeticError("a broken kernel")
        return self.inner.launch(plan)


def test_a_rank_that_fails_ends_the_engine_with_its_words(spec: DecoderSpec) -> None:
    message, faults = run_until_lost(spec, lambda _, executor: Fails(executor), tp_size=2)
    assert message == "a broken kernel"
    assert isinstance(faults[1], ArithmeticError)


class Hangs(Flips):
    def launch(self, plan: StepPlan) -> Any:
        self.num_steps += 1
        if self.num_steps == 3:
            time.sleep(2.0)
        return self.inner.launch(plan)


def test_a_rank_that_hangs_is_waited_for_so_long_and_no_longer(spec: DecoderSpec) -> None:
    message, _ = run_until_lost(spec, lambda _, executor: Hangs(executor), tp_size=2, timeout_s=1.0)
    assert "lost another" in message
    assert "dist_timeout_s is 1" in message


def test_a_slow_rank_changes_nothing(spec: DecoderSpec) -> None:
    class Lags(Flips):
        def launch(self, plan: StepPlan) -> Any:
            time.sleep(random.random() / 100)
            return self.inner.launch(plan)

    weights = random_weights(spec)
    alone = Driver.make(decoder_of(spec, weights, None), num_pages=NUM_PAGES, page_size=4)
    options = {"tp_size": 2, "page_size": 4, "max_in_flight": 2}
    with thread_ranks(
        spec, weights, NUM_PAGES, wrap=lambda _, executor: Lags(executor), **options
    ) as (ranks, own):
        driver = ranks.driver(own, NUM_PAGES)
        for each in (alone, driver):
            each.add("r", [5, 6, 7], max_new_tokens=15, sampling=GREEDY)
            each.run()
    assert driver.outputs == alone.outputs
    assert ranks.faults == {}


def test_ranks_that_take_no_plan_are_ended_without_a_farewell() -> None:
    class Deaf:
        num_sent = 0

        def send(self, payload: bytes) -> None:
            self.num_sent += 1
            raise RankLostError("local rank 1 has not taken a plan")

        def close(self) -> None:
            pass

    links = RankLinks({})
    links.start()
    sender = Deaf()
    leader = LeaderExecutor(Flips(None), RankTeam(links, sender, {}))
    with pytest.raises(RankLostError, match="has not taken a plan"):
        leader.launch(StepPlan(1, 1))
    leader.close()
    assert sender.num_sent == 1
