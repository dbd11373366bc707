"""Workloads have the sizes asked for and repeat with their seed."""

from __future__ import annotations

import json

import pytest

from sglite.bench.load.workload import GENERATED, Lengths, Session, Turn, Writer, read_trace
from sglite.errors import ConfigError


def make(name, *, as_text=False, seed=0, **lengths):
    return GENERATED[name](Writer(Lengths(**lengths), seed=seed, as_text=as_text))


def test_random_prompts_have_exact_lengths_and_a_seed():
    sessions = make("random", num_sessions=5, input_len=30, output_len=7, vocab_size=100)
    assert [len(session.turns[0].content) for session in sessions] == [30] * 5
    assert {session.turns[0].max_tokens for session in sessions} == {7}
    assert all(16 <= token < 100 for session in sessions for token in session.turns[0].content)
    assert sessions == make("random", num_sessions=5, input_len=30, output_len=7, vocab_size=100)
    other = make("random", num_sessions=5, input_len=30, output_len=7, vocab_size=100, seed=1)
    assert sessions != other


def test_range_ratio_draws_lengths_between():
    sessions = make("random", num_sessions=200, input_len=40, range_ratio=0.5)
    lengths = {len(session.turns[0].content) for session in sessions}
    assert min(lengths) >= 20 and max(lengths) <= 40 and len(lengths) > 10


@pytest.mark.parametrize("as_text", [False, True])
def test_prefixes_are_shared_and_the_rest_is_not(as_text):
    sessions = make(
        "shared-prefix",
        as_text=as_text,
        num_sessions=30,
        prefix_len=50,
        num_prefixes=3,
        input_len=20,
    )
    prompts = [session.turns[0].content for session in sessions]
    words = [prompt.split() if as_text else prompt for prompt in prompts]
    assert {len(each) for each in words} == {70}
    assert len({tuple(each[:50]) for each in words}) == 3
    assert len({tuple(each) for each in words}) == 30


def test_conversations_are_text_with_their_number_of_turns():
    sessions = make("multi-turn", num_sessions=2, num_turns=3, input_len=5)
    assert [len(session.turns) for session in sessions] == [3, 3]
    assert all(len(turn.content.split()) == 5 for turn in sessions[0].turns)


def write(tmp_path, *lines):
    path = tmp_path / "calls.jsonl"
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    )
    return path


WRITER = Writer(Lengths(), seed=0, as_text=False)


def test_trace_is_read_in_the_order_of_arrival(tmp_path):
    path = write(
        tmp_path,
        {"arrival_s": 2, "prompt": "b", "max_tokens": 3},
        "",
        {"arrival_s": 0.5, "prompt": [20, 21], "max_tokens": 4, "other": 1},
        {"arrival_s": 3, "prompt_tokens": 12, "max_tokens": 5},
    )
    first, second, third = read_trace(path, WRITER)
    assert first == Session((Turn([20, 21], 4),), 0.5)
    assert second == Session((Turn("b", 3),), 2.0)
    assert len(third.turns[0].content) == 12


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        {"arrival_s": 1, "max_tokens": 3},
        {"arrival_s": "soon", "prompt": "a", "max_tokens": 3},
        {"arrival_s": 1, "prompt": {"a": 1}, "max_tokens": 3},
        {"arrival_s": 1, "prompt": [True], "max_tokens": 3},
        {"arrival_s": -1, "prompt": "a", "max_tokens": 3},
        {"arrival_s": 1, "prompt": "a", "max_tokens": 0},
    ],
)
def test_a_bad_line_is_named(tmp_path, line):
    good = {"arrival_s": 1, "prompt": "a", "max_tokens": 3}
    with pytest.raises(ConfigError, match="line 2"):
        read_trace(write(tmp_path, good, line), WRITER)


def test_an_empty_or_missing_trace_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is empty"):
        read_trace(write(tmp_path, ""), WRITER)
    with pytest.raises(ConfigError, match="missing"):
        read_trace(tmp_path / "missing", WRITER)
