"""Ranks share tokens on their devices, in graphs as well, and see in the same step who parts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import pytest
import torch

from sglite.distributed.layout import RankLayout
from sglite.distributed.open_groups import RankGroups
from sglite.errors import RankLostError
from sglite.executors.device_agreement import PARTED, DeviceAgreement
from sglite.executors.device_executor import DeviceExecutor
from sglite.models.decoder import Decoder
from sglite.models.layers.parallel import ModelShare, RankGroup
from sglite.models.random_weights import random_weight
from sglite.models.registry import spec_from_hf
from sglite.models.spec import DecoderSpec
from sglite.request import LogprobParams, SamplingParams
from sglite.sampling import TokenMasks
from sglite.scheduler.plan import PromptLogprobSpan, StepPlan
from tests.device_double import LazyDevice, RecordingDevice
from tests.distributed.rank_threads import run_ranks
from tests.executors.device import make_device_executor
from tests.executors.test_torch_executor import PROMPT, decode, prefill, setup
from tests.models.configs import make_hf_config
from tests.sampling.setups import packed

TP2 = RankLayout(2)
CPU = torch.device("cpu")
# Ids, positions and slots of three tokens, and one that pads.
INPUTS = torch.tensor([[7, 8, 9, 0], [3, 0, 1, 0], [35, 64, 65, 99]])
IS_PADDING = torch.tensor([False, False, False, True])


def shared(inputs_of: Callable[[int], torch.Tensor], *, num_steps: int = 1) -> list[Any]:
    """What each rank has of tokens 5 and -1 of rank 0 for the rows 2 and 0, and its rows' last."""

    def work(rank: int, groups: RankGroups) -> tuple[list[int], list[int]]:
        agreement = DeviceAgreement(groups.stage, num_slots=1, device=CPU)
        for _ in range(num_steps):
            agreement.begin(inputs_of(rank), IS_PADDING)
        tokens = torch.tensor([5, -1] if rank == 0 else [77, 77], dtype=torch.int32)
        last = torch.tensor([0, 40, 5] if rank == 0 else [30, 40, 50])
        agreement.share(tokens, torch.tensor([2, 0], dtype=torch.int32), last)
        return tokens.tolist(), last.tolist()

    return run_ranks(TP2, work)


def test_all_ranks_get_what_rank_0_draws() -> None:
    assert shared(lambda rank: INPUTS) == [([5, -1], [0, 40, 5])] * 2


def test_padding_and_the_order_of_tokens_are_no_difference() -> None:
    other = INPUTS.clone()
    other[:, 3] = torch.tensor([11, 12, 13])
    other[:, :3] = other[:, [2, 0, 1]]
    assert shared(lambda rank: INPUTS if rank else other, num_steps=2)[1][0] == [5, -1]


@pytest.mark.parametrize("line", [0, 1, 2], ids=["id", "position", "slot"])
def test_whoever_computes_with_something_else_is_seen_by_all(line: int) -> None:
    other = INPUTS.clone()
    other[line, 1] += 1
    found = shared(lambda rank: other if rank else INPUTS)
    assert [tokens for tokens, _ in found] == [[PARTED, PARTED]] * 2


def test_tokens_that_have_changed_places_are_a_difference() -> None:
    other = INPUTS.clone()
    other[0, :2] = INPUTS[0, [1, 0]]
    assert shared(lambda rank: other if rank else INPUTS)[0][0] == [PARTED, PARTED]


def _all_reduce(tensor: torch.Tensor, group: int) -> None:
    RecordedGroup.known[group].all_reduce(tensor)


def _broadcast(tensor: torch.Tensor, group: int) -> None:
    RecordedGroup.known[group].broadcast(tensor)


def _gather(tensor: torch.Tensor, group: int) -> torch.Tensor:
    return RecordedGroup.known[group].gather(tensor.clone())


KEY = "CompositeExplicitAutograd"
OPERATIONS = torch.library.Library("sglite_tests", "DEF")
OPERATIONS.define("all_reduce(Tensor(a!) tensor, int group) -> ()")
OPERATIONS.define("broadcast(Tensor(a!) tensor, int group) -> ()")
OPERATIONS.define("gather(Tensor tensor, int group) -> Tensor")
OPERATIONS.impl("all_reduce", _all_reduce, KEY)
OPERATIONS.impl("broadcast", _broadcast, KEY)
OPERATIONS.impl("gather", _gather, KEY)


class RecordedGroup:
    """A group whose calls are operations of torch, so that a recording has them too."""

    known: ClassVar[WeakValueDictionary[int, RankGroup]] = WeakValueDictionary()

    def __init__(self, group: RankGroup) -> None:
        self.rank, self.size = group.rank, group.size
        self._group, self._id = group, id(group)
        self.known[self._id] = group

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        torch.ops.sglite_tests.all_reduce(tensor, self._id)
        return tensor

    def broadcast(self, tensor: torch.Tensor, source: int = 0) -> torch.Tensor:
        assert source == 0
        torch.ops.sglite_tests.broadcast(tensor, self._id)
        return tensor

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.ops.sglite_tests.gather(tensor, self._id)
        return result


def test_it_can_be_captured() -> None:
    """The third replay finds that rank 1 has read another token in it."""

    def work(rank: int, groups: RankGroups) -> list[list[int]]:
        assert groups.stage is not None
        agreement = DeviceAgreement(RecordedGroup(groups.stage), num_slots=1, device=CPU)
        inputs, device = INPUTS.clone(), RecordingDevice()
        tokens, last = torch.zeros(2, dtype=torch.int32), torch.zeros(3, dtype=torch.int64)

        def step() -> None:
            agreement.begin(inputs, IS_PADDING)
            tokens.copy_(inputs[0, :2] + 1)
            agreement.share(tokens, torch.tensor([2, 0]), last)

        graph, found = device.capture(step), []
        for number in range(3):
            inputs[0, :2] += 10 if number < 2 or rank == 0 else 11
            graph.replay()
            device.synchronize()
            found.append(tokens.tolist())
        return found

    assert run_ranks(TP2, work) == [[[18, 19], [28, 29], [PARTED, PARTED]]] * 2


@pytest.fixture(scope="module")
def spec() -> DecoderSpec:
    """Full and windowed layers, a vocabulary and MLPs that two ranks have to pad."""
    sizes = {"vocab_size": 261, "intermediate_size": 91, "num_hidden_layers": 3, "head_dim": 16}
    windows = {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1}
    return spec_from_hf(make_hf_config("Qwen2ForCausalLM", **(sizes | windows)))


def executor_of(
    spec: DecoderSpec, rank: int, group: RankGroup | None, device: LazyDevice, **options: Any
) -> DeviceExecutor:
    share = None if group is None else ModelShare.of(TP2, rank, spec.num_layers, group)
    decoder = Decoder(spec, share=share)
    for name, target in decoder.load_plan().items():
        decoder.write(name, target, random_weight(name, target.shape))
    sizes = {"page_size": 4, "max_rows": 4, "max_tokens": 128}
    return make_device_executor(decoder, 40, device=device, **sizes, **options)


def steps(vocab_size: int) -> list[tuple[StepPlan, TokenMasks | None]]:
    """Prompts with scores, a chunk beside single tokens, penalties and a mask, then more tokens."""
    pages = [(list(range(first, first + 9)),) * 2 for first in (1, 10, 19)]
    rows = [setup(row, 1, page_ids=pages[row]) for row in range(3)]
    rows[0] = replace(rows[0], logprobs=LogprobParams(start_len=2, top_num=2))
    rows[1] = replace(rows[1], sampling=SamplingParams(temperature=0, repetition_penalty=1.7))
    rows[2] = replace(rows[2], sampling=SamplingParams(temperature=1.0), seed=3)
    first = prefill(PROMPT[:9], PROMPT[3:10], added=rows[:2])
    first.prompt_logprob_spans = [PromptLogprobSpan(0, 2, 9, PROMPT[2:9])]
    second = prefill(PROMPT[:6], added=rows[2:])
    second.run_rows, second.run_lengths = [0, 1, 2], [1, 1, 6]
    second.run_starts, second.run_continues = [9, 7, 0], [True, True, False]
    second.sample_runs = [0, 1, 2]
    legal = torch.zeros(1, vocab_size, dtype=torch.bool)
    legal[0, [40, 41, 42]] = True
    plans: list[tuple[StepPlan, TokenMasks | None]] = [(first, None), (second, packed(legal, [0]))]
    for number in range(3):
        plan = decode(0, 1, 2, start=0)
        plan.run_starts = [10 + number, 8 + number, 6 + number]
        plans.append((plan, packed(legal, [1]) if number == 1 else None))
    for step_id, (plan, _) in enumerate(plans):
        plan.step_id, plan.num_groups = step_id, 2
        plan.page_updates = plan.page_updates[:1] * 2
    return plans


def run(executor: DeviceExecutor) -> tuple[list[list[int]], list[Any], list[list[int]]]:
    """Tokens and scores of all steps, and what the rows remember after each."""
    tokens, scores, remembered = [], [], []
    for plan, masks in steps(executor._model.spec.vocab_size):
        if masks is not None and not executor._parts.is_drawing:
            masks = TokenMasks(masks.entries, torch.zeros(len(masks.entries), 0))
        handle = executor.launch(plan)
        executor.sample(handle, masks)
        result = executor.collect(handle)
        tokens.append(result.token_ids)
        scores += [each.logprob for of_one in result.prompt_logprobs for each in of_one]
        remembered.append(executor._rows.last_token_W[:3].tolist())
    return tokens, scores, remembered


@pytest.mark.parametrize("tokens_in_pieces", [0, 16], ids=["at once", "in pieces"])
@pytest.mark.parametrize("graph_sizes", [[], [1, 2, 4]], ids=["eager", "graphs"])
def test_two_ranks_give_the_tokens_of_one(
    spec: DecoderSpec, graph_sizes: list[int], tokens_in_pieces: int
) -> None:
    """Where all captures are pieces, they are of tensor operations alone, collectives as well."""
    options = {"graph_sizes": graph_sizes, "tokens_in_pieces": tokens_in_pieces}
    expected = run(executor_of(spec, 0, None, LazyDevice(), graph_sizes=[]))
    replays = []

    def work(rank: int, groups: RankGroups) -> Any:
        assert groups.stage is not None
        device = LazyDevice() if graph_sizes else RecordingDevice()
        executor = executor_of(spec, rank, RecordedGroup(groups.stage), device, **options)
        found = run(executor)
        replays.append(device.num_replays)
        return found

    (tokens, scores, remembered), (_, no_scores, others) = run_ranks(TP2, work)
    assert tokens == expected[0]
    assert scores == pytest.approx(expected[1], abs=1e-4)
    assert len(scores) == 7
    assert no_scores == []
    assert remembered == others == expected[2]
    assert (
        replays[0]
        == replays[1]
        == (len(graph_sizes) > 0) * 3
        + (tokens_in_pieces > 0) * (2 if graph_sizes else 5) * (spec.num_layers + 1)
    )


def test_ranks_that_part_end_both(spec: DecoderSpec) -> None:
    meeting = threading.Barrier(2)

    def work(rank: int, groups: RankGroups) -> str:
        executor = executor_of(spec, rank, groups.stage, LazyDevice(), graph_sizes=[])
        plan = steps(spec.vocab_size)[0][0]
        if rank:
            plan.token_ids[3] += 1
        handle = executor.launch(plan)
        executor.sample(handle)
        with pytest.raises(RankLostError) as caught:
            executor.collect(handle)
        meeting.wait(10)
        return str(caught.value)

    assert [found[:24] for found in run_ranks(TP2, work)] == ["ranks disagree in step 0"] * 2
