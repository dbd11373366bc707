"""A run asks what the workload says, in its turns, and believes no answer's length."""

from __future__ import annotations

import pytest

from sglite.bench.suite.engine import Answers
from sglite.bench.suite.running import Run, check_lengths, run_workload
from sglite.bench.suite.workloads import WORKLOADS, Ask, Kind
from sglite.errors import RemoteError


class Echo:
    """Takes 2 s for a batch; answers with tokens that say which batch it was."""

    version = "echo"

    def __init__(self):
        self.asked = []

    def batch(self, asks):
        self.asked.append(asks)
        return Answers([[len(self.asked)] * ask.num_new_tokens for ask in asks], 2.0)

    def stream(self, ask):
        self.asked.append([ask])
        return Answers([[1] * ask.num_new_tokens], 3.0, 0.5)


def test_a_stream_is_timed_from_its_first_token():
    run = run_workload(Echo(), WORKLOADS["W1"], salt=0)
    assert (run.num_in, run.num_out, run.first_s) == (128, 128, 0.5)
    assert run.headline_s == pytest.approx(2.5 / 127)
    assert run.tokens_per_s == pytest.approx(127 / 2.5)


def test_a_prefill_is_its_time_to_the_first_token():
    run = run_workload(Echo(), WORKLOADS["W4"], salt=0)
    assert run.headline_s == 0.5
    assert run.tokens_per_s == 2048 / 0.5


def test_a_batch_is_all_of_its_time():
    run = run_workload(Echo(), WORKLOADS["W2"], salt=0)
    assert (run.headline_s, run.tokens_per_s) == (2.0, 2710 / 2.0)


def test_a_chat_has_in_its_prompt_what_was_said():
    echo = Echo()
    run = run_workload(echo, WORKLOADS["W6"], salt=0, shrink=32)
    assert run.seconds == 8.0, "four turns"
    assert [[len(ask.token_ids) for ask in turn] for turn in echo.asked] == [
        [18] * 8,
        [22] * 8,
        [26] * 8,
        [30] * 8,
    ]
    first, second = echo.asked[0][3].token_ids, echo.asked[1][3].token_ids
    assert second[: len(first) + 2] == [*first, 1, 1]
    assert run.num_in == 8 * (18 + 22 + 26 + 30)


def test_a_cold_start_has_no_rate():
    run = Run(kind=Kind.COLD, num_in=1, num_out=1, seconds=3.0)
    assert (run.headline_s, run.tokens_per_s) == (3.0, None)


def test_other_lengths_are_refused():
    asks = [Ask([1], 2), Ask([1], 3)]
    check_lengths(asks, Answers([[1, 1], [1, 1, 1]], 1.0))
    with pytest.raises(RemoteError, match="answer 1 has 2 tokens instead of 3"):
        check_lengths(asks, Answers([[1, 1], [1, 1]], 1.0))
    with pytest.raises(RemoteError, match="1 answers to 2 requests"):
        check_lengths(asks, Answers([[1, 1]], 1.0))
