from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sglite.errors import RankLostError
from sglite.ipc.frames import BAD_FRAME_ERRORS
from sglite.ranks.channel import decode_from_rank, decode_to_rank, encode
from sglite.ranks.messages import (
    JointStep,
    Launch,
    Proceed,
    RankAt,
    Sample,
    StepDone,
    StepMasks,
)
from sglite.request import LogprobParams, SamplingParams, Thinking, TokenLogprobs
from sglite.scheduler.plan import (
    PageUpdates,
    PromptLogprobSpan,
    RowSetup,
    StepPlan,
    StepResult,
    StopMatch,
)

INTS = st.integers(-(2**63), 2**64 - 1)
IDS = st.lists(INTS, max_size=4)
TUPLES = IDS.map(tuple)
FLOATS = st.floats(allow_nan=False)
TEXTS = st.text(max_size=5)
MAYBE_TEXT = st.none() | TEXTS

SAMPLING = st.builds(
    SamplingParams,
    max_new_tokens=st.none() | INTS,
    temperature=FLOATS,
    top_k=INTS,
    logit_bias=st.none() | st.dictionaries(INTS, FLOATS, max_size=3),
    stop=st.lists(TEXTS, max_size=2).map(tuple),
    stop_token_ids=TUPLES,
    ignore_eos=st.booleans(),
    json_schema=MAYBE_TEXT,
    choice=st.lists(TEXTS, max_size=2).map(tuple),
    structural_tag=MAYBE_TEXT,
    allow_ignored_schema_keywords=st.booleans(),
)
THINKING = st.builds(
    Thinking, start_token_id=st.none() | INTS, end_token_id=INTS, is_open=st.booleans()
)
SETUPS = st.builds(
    RowSetup,
    row=INTS,
    request_id=TEXTS,
    sampling=SAMPLING,
    logprobs=st.none() | st.builds(LogprobParams, start_len=st.none() | INTS, token_ids=TUPLES),
    seed=INTS,
    stop_token_ids=TUPLES,
    num_prompt_tokens=INTS,
    page_ids=st.lists(IDS, max_size=2).map(tuple),
    output_token_ids=IDS,
    max_new_tokens=INTS,
    thinking=st.none() | THINKING,
)
PLANS = st.builds(
    StepPlan,
    step_id=INTS,
    num_groups=st.integers(1, 3),
    cleared_rows=IDS,
    added_rows=st.lists(SETUPS, max_size=2),
    renewed_rows=st.lists(SETUPS, max_size=1),
    page_updates=st.lists(
        st.builds(PageUpdates, rows=IDS, indices=IDS, page_ids=IDS), min_size=1, max_size=2
    ),
    run_rows=IDS,
    run_starts=IDS,
    run_lengths=IDS,
    run_continues=st.lists(st.booleans(), max_size=3),
    token_ids=IDS,
    sample_runs=IDS,
    masked_runs=IDS,
    prompt_logprob_spans=st.lists(
        st.builds(PromptLogprobSpan, run=INTS, start=INTS, end=INTS, targets=IDS), max_size=2
    ),
)
PAIRS = st.lists(st.tuples(INTS, FLOATS), max_size=2).map(tuple)
SCORES = st.builds(
    TokenLogprobs, token_id=INTS, logprob=st.none() | FLOATS, top=PAIRS, chosen=PAIRS
)
RESULTS = st.builds(
    StepResult,
    token_ids=IDS,
    invalid=st.frozensets(INTS, max_size=2),
    invalid_runs=st.frozensets(INTS, max_size=2),
    logprobs=st.dictionaries(INTS, SCORES, max_size=2),
    prompt_logprobs=st.lists(st.lists(SCORES, max_size=2), max_size=2),
    stops=st.dictionaries(INTS, st.builds(StopMatch, matched=MAYBE_TEXT), max_size=1),
    accepted=st.dictionaries(INTS, IDS, max_size=1),
    elapsed_s=FLOATS,
)


@settings(max_examples=12)
@given(st.lists(PLANS, min_size=1, max_size=2))
def test_plans_arrive_as_they_were(plans: list[StepPlan]) -> None:
    assert decode_to_rank(encode(Launch(plans[0]))) == Launch(plans[0])
    arrived = decode_to_rank(encode(JointStep(1, plans)))
    assert arrived == JointStep(1, plans)
    for plan, before in zip(arrived.plans, plans, strict=True):
        assert [type(each) for each in dataclasses.astuple(plan)] == [
            type(each) for each in dataclasses.astuple(before)
        ]
        for setup, sent in zip(plan.added_rows, before.added_rows, strict=True):
            assert setup.sampling.grammar == sent.sampling.grammar


@settings(max_examples=20)
@given(RESULTS)
def test_results_arrive_as_they_were(result: StepResult) -> None:
    assert decode_from_rank(encode(StepDone(7, result))) == StepDone(7, result)  # type: ignore[arg-type]


def test_the_strategies_know_every_field_of_a_plan() -> None:
    fields = {field.name for field in dataclasses.fields(StepPlan)}
    assert fields == {
        "step_id", "num_groups", "cleared_rows", "added_rows", "renewed_rows", "page_updates",
        "run_rows", "run_starts", "run_lengths", "run_continues", "token_ids", "sample_runs",
        "masked_runs", "prompt_logprob_spans",
    }  # fmt: skip


@pytest.mark.parametrize(
    "message",
    [
        Proceed("loaded", 5),
        Sample(3),
        Sample(3, StepMasks([0, 2], b"\1\2\3\4")),
        JointStep(3, [], {1: StepMasks([0], b"\1\2\3\4")}),
    ],
)
def test_other_messages_arrive(message: Any) -> None:
    assert decode_to_rank(encode(message)) == message


@pytest.mark.parametrize(
    "payload", [b"", b"\xc1", b"\x81\xa4type\xa4evil", b"[]" * 2, b"\x91" * 5000]
)
def test_what_is_no_message_ends_a_rank_and_is_told_of_a_rank(payload: bytes) -> None:
    with pytest.raises(RankLostError, match="no message"):
        decode_to_rank(payload)
    with pytest.raises(BAD_FRAME_ERRORS):
        decode_from_rank(payload)


def test_a_phase_that_there_is_not_is_refused() -> None:
    bad = encode(RankAt("ready", 1)).replace(b"ready", b"roast")  # type: ignore[arg-type]
    with pytest.raises(BAD_FRAME_ERRORS):
        decode_from_rank(bad)
