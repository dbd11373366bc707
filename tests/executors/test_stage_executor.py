"""Pipelines whose ranks are threads of this process say what one rank says."""

from __future__ import annotations

import dataclasses
import random
import threading
from typing import Any

import pytest
import torch

from sglite.assembly import build_engine
from sglite.engine.output_processor import MakeConstraint
from sglite.errors import RankLostError
from sglite.executors.executor import Executor
from sglite.grammar.backend import Words
from sglite.grammar.constraint import Taken
from sglite.models.decoder import Decoder
from sglite.models.hf_config import HFConfig
from sglite.models.registry import spec_from_hf
from sglite.models.spec import DecoderSpec
from sglite.observability.events import EventStream
from sglite.ranks.leader_executor import LeaderExecutor
from sglite.ranks.leadership import Leadership
from sglite.request import FinishReason, LogprobParams, SamplingParams
from sglite.scheduler.plan import RowSetup, StepPlan, StepResult
from tests.engine.harness import Driver, as_loaded
from tests.ranks.thread_ranks import ThreadRanks, decoder_of, random_weights, thread_ranks

VOCAB = 101
NUM_PAGES = 48
NUM_REQUESTS = 8
OPTIONS: dict[str, Any] = {"page_size": 4, "chunked_prefill_size": 7, "max_running_requests": 6}


@pytest.fixture(scope="module")
def spec() -> DecoderSpec:
    """Three layers of two kinds: of three stages one has no layer of the first KV group."""
    return spec_from_hf(
        HFConfig.from_dict(
            {
                "architectures": ["Qwen3ForCausalLM"],
                "num_hidden_layers": 3,
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "head_dim": 8,
                "vocab_size": VOCAB,
                "max_position_embeddings": 512,
                "rms_norm_eps": 1e-6,
                "rope_theta": 10000.0,
                "tie_word_embeddings": True,
                "use_sliding_window": True,
                "sliding_window": 9,
                "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            }
        )
    )


@pytest.fixture(scope="module")
def weights(spec: DecoderSpec) -> dict[str, torch.Tensor]:
    return random_weights(spec)


class EveryThird:
    """A grammar that allows every third token, counted on with each, and knows some by itself."""

    needs_mask = True

    def __init__(self, setup: RowSetup) -> None:
        self._num_tokens = 0
        self._left = setup.max_new_tokens

    def _is_legal(self, token_id: int, num_tokens: int) -> bool:
        return token_id % 3 == num_tokens % 3

    def fill_mask(self, words_W: Words) -> None:
        legal = [self._is_legal(token_id, self._num_tokens) for token_id in range(VOCAB)]
        for word in range(len(words_W)):
            bits = sum(is_legal << bit for bit, is_legal in enumerate(legal[32 * word :][:32]))
            words_W[word] = bits - (1 << 32) if bits >= 1 << 31 else bits

    def take(self, token_id: int) -> Taken:
        assert self._is_legal(token_id, self._num_tokens), "the mask was not heeded"
        tokens = [token_id]
        if token_id % 4 == 0:
            tokens += [3 * 5 + (self._num_tokens + 1) % 3, 3 * 7 + (self._num_tokens + 2) % 3]
        tokens = tokens[: self._left]
        self.replay(tokens)
        return Taken(tokens, num_forced=len(tokens) - 1)

    def replay(self, token_ids: list[int]) -> None:
        self._num_tokens += len(token_ids)
        self._left -= len(token_ids)


def constrain_some(setup: RowSetup) -> EveryThird | None:
    """The grammar for every other request."""
    return EveryThird(setup) if int(setup.request_id[1:]) % 2 else None


def add_requests(driver: Driver) -> None:
    """Shared prefixes, long prompts, sampling, penalties, scores of prompts and answers."""
    shuffle = random.Random(3)
    shared = [shuffle.randrange(VOCAB) for _ in range(20)]
    for number in range(NUM_REQUESTS):
        prompt = shared[: 5 + 2 * number] + [shuffle.randrange(VOCAB) for _ in range(3)]
        traits: dict[str, Any] = {}
        if number % 3 == 1:
            sampling = SamplingParams(temperature=1.0, ignore_eos=True, presence_penalty=0.5)
            traits = {"sampling": sampling, "seed": number}
        if number % 4 == 2:
            traits["logprobs"] = LogprobParams(start_len=2, top_num=2)
        driver.add(f"r{number}", prompt, max_new_tokens=12, **traits)


def driver_over(
    ranks: ThreadRanks, own: Decoder, make_constraint: MakeConstraint, **traits: Any
) -> Driver:
    """An engine over all ``ranks``; ``own`` is the leader's share of the model."""
    stream = EventStream()
    engine = build_engine(
        ranks.config,
        as_loaded(own),
        NUM_PAGES,
        make_checker=lambda _: None,
        make_constraint=make_constraint,
        events=stream,
        leadership=Leadership(ranks.seats[0], ranks.team),
    )
    driver = Driver(engine, **traits)
    stream.subscribe(driver.events.append)
    return driver


@pytest.fixture(scope="module")
def alone(spec: DecoderSpec, weights: dict[str, torch.Tensor]) -> Driver:
    """What one rank says, without retraction and one request after the other."""
    driver = Driver.make(
        decoder_of(spec, weights, None), num_pages=NUM_PAGES, make_constraint=constrain_some,
        **{**OPTIONS, "max_running_requests": 1},
    )  # fmt: skip
    add_requests(driver)
    driver.run()
    assert any(finish.num_jumped_tokens for finish in driver.finishes.values())
    return driver


def scores_of(driver: Driver) -> list[float]:
    """All log-probabilities of prompts and answers, one after the other."""
    kept = [*driver.logprobs.values(), *driver.prompt_logprobs.values()]
    return [each.logprob for of_one in kept for each in of_one if each.logprob is not None]


@pytest.mark.parametrize(("tp_size", "pp_size"), [(1, 2), (1, 3), (2, 2)])
def test_stages_say_what_one_rank_says(
    spec: DecoderSpec,
    weights: dict[str, torch.Tensor],
    alone: Driver,
    tp_size: int,
    pp_size: int,
) -> None:
    sizes = {"tp_size": tp_size, "pp_size": pp_size}
    with thread_ranks(spec, weights, NUM_PAGES, **sizes, **OPTIONS) as (ranks, own):
        driver = driver_over(ranks, own, constrain_some, retract_every=5)
        add_requests(driver)
        driver.run()
        driver.engine.close()
    assert ranks.faults == {}
    assert driver.outputs == alone.outputs
    assert scores_of(driver) == pytest.approx(scores_of(alone), abs=1e-4)
    assert len(scores_of(driver)) > 40
    finishes = driver.finishes.values()
    assert any(finish.num_retractions for finish in finishes)
    assert any(finish.num_cached_tokens for finish in finishes)
    assert [finish.num_jumped_tokens for finish in finishes if finish.num_jumped_tokens]


def test_requests_that_are_aborted_leave_the_others_as_they_were(
    spec: DecoderSpec, weights: dict[str, torch.Tensor], alone: Driver
) -> None:
    with thread_ranks(spec, weights, NUM_PAGES, pp_size=2, **OPTIONS) as (ranks, own):
        driver = driver_over(ranks, own, constrain_some)
        add_requests(driver)
        gone = {"r0": 4, "r3": 9, "r7": 12}
        for turn in range(14):
            for name, when in gone.items():
                if turn == when:
                    assert driver.engine.abort(name)
            driver.take(driver.engine.step())
        driver.run()
        driver.engine.close()
    for name, output in driver.outputs.items():
        if name in gone:
            assert driver.finishes[name].reason is FinishReason.ABORT
            assert output == alone.outputs[name][: len(output)]
        else:
            assert output == alone.outputs[name]


class OtherTokens:
    """An executor that reads other tokens than were planned in the third step."""

    def __init__(self, inner: Executor) -> None:
        self._inner = inner
        self.sample, self.collect, self.close = inner.sample, inner.collect, inner.close

    def launch(self, plan: StepPlan) -> Any:
        if plan.step_id == 3:
            plan = dataclasses.replace(plan, token_ids=[0, *plan.token_ids[1:]])
        return self._inner.launch(plan)


def test_a_stage_that_reads_other_tokens_ends_the_engine(
    spec: DecoderSpec, weights: dict[str, torch.Tensor]
) -> None:
    def wrap(rank: int, executor: Executor) -> Executor:
        return OtherTokens(executor)

    with thread_ranks(spec, weights, NUM_PAGES, wrap=wrap, pp_size=2, **OPTIONS) as (ranks, own):
        driver = driver_over(ranks, own, lambda setup: None)
        add_requests(driver)
        with pytest.raises(RankLostError, match="ranks 0 and 1 disagree in step 3"):
            driver.run()
        driver.engine.close()


class Stuck:
    """An executor that comes to no end with its second step, until it is let go."""

    def __init__(self, inner: Executor, let_go: threading.Event) -> None:
        self._inner, self._let_go = inner, let_go
        self._num_collected = 0
        self.launch, self.sample, self.close = inner.launch, inner.sample, inner.close

    def collect(self, handle: Any) -> StepResult:
        self._num_collected += 1
        if self._num_collected == 2:
            self._let_go.wait()
        return self._inner.collect(handle)


def test_a_last_stage_that_is_late_ends_the_engine(
    spec: DecoderSpec, weights: dict[str, torch.Tensor]
) -> None:
    let_go = threading.Event()

    def wrap(rank: int, executor: Executor) -> Executor:
        return Stuck(executor, let_go)

    ranks_of = thread_ranks(spec, weights, NUM_PAGES, wrap=wrap, pp_size=2, **OPTIONS)
    with ranks_of as (ranks, own):
        driver = driver_over(ranks, own, lambda setup: None)
        leader = driver.engine.executor
        assert isinstance(leader, LeaderExecutor)
        assert leader._drawn_within_s == 2 * ranks.config.dist_timeout_s
        leader._drawn_within_s = 0.2
        add_requests(driver)
        with pytest.raises(RankLostError, match="not told what it drew in step 2 after 0.2 s"):
            driver.run()
        driver.engine.close()
        let_go.set()


def test_a_stage_knows_its_neighbours(spec: DecoderSpec, weights: dict[str, torch.Tensor]) -> None:
    with thread_ranks(spec, weights, NUM_PAGES, tp_size=2, pp_size=2, **OPTIONS) as (ranks, _):
        links = [seat.stage_links() for seat in ranks.seats]
        assert [(link.previous, link.following) for link in links] == [
            (None, 2), (None, 3), (0, None), (1, None),
        ]  # fmt: skip
        assert [seat.draws for seat in ranks.seats] == [False, False, True, False]
        layers = [seat.model_share(spec.num_layers).layers for seat in ranks.seats]
        assert layers == [range(2), range(2), range(2, 3), range(2, 3)]
