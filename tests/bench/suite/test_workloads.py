"""The workloads ask what they always asked, token for token."""

from __future__ import annotations

import hashlib

import pytest

from sglite.bench.suite.workloads import (
    HIGHEST_ID,
    LOWEST_ID,
    WARM_UP_SALT,
    WORKLOADS,
    longest_sequence,
    num_tokens,
)

# Figures of other days are comparable only while these stay.
FINGERPRINTS = {
    "W0": "e06c588a5977217e",
    "W1": "4b21898466a3e230",
    "W2": "6ff6ce42264600df",
    "W3": "971f8601687f0331",
    "W4": "f2f3db69fef1701e",
    "W6": "faee8bfbfb48361f",
    "W7": "71fb3b8a5a5a35f5",
}


def fingerprint(turns):
    plain = [[tuple(ask) for ask in turn] for turn in turns]
    return hashlib.sha256(repr(plain).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", WORKLOADS)
def test_contents_never_change_and_differ_from_round_to_round(name):
    workload = WORKLOADS[name]
    assert fingerprint(workload.write(0, 1)) == FINGERPRINTS[name]
    salts = (0, 1, 2, WARM_UP_SALT)
    assert len({fingerprint(workload.write(salt, 1)) for salt in salts}) == len(salts)
    counts = {num_tokens(workload.write(salt, 1)) for salt in salts}
    assert len(counts) == 1, "only contents depend on the salt"
    ids = {each for turn in workload.write(0, 1) for ask in turn for each in ask.token_ids}
    assert min(ids) >= LOWEST_ID and max(ids) < HIGHEST_ID


@pytest.mark.parametrize(
    ("name", "tokens", "longest"),
    [
        ("W0", (128, 1), 129),
        ("W1", (128, 128), 256),
        ("W2", (9433, 2710), 621),
        ("W3", (32 * 800, 32 * 32), 832),
        ("W4", (2048, 1), 2049),
        ("W6", (8 * (576 + 704 + 832 + 960), 8 * 4 * 64), 1024),
        ("W7", (32 * 2064, 32 * 96), 2160),
    ],
)
def test_lengths(name, tokens, longest):
    turns = WORKLOADS[name].write(0, 1)
    assert num_tokens(turns) == tokens
    assert longest_sequence(turns) == longest


@pytest.mark.parametrize("name", ["W3", "W6", "W7"])
@pytest.mark.parametrize("shrink", [1, 16])
def test_prompts_share_their_start_and_nothing_else(name, shrink):
    workload = WORKLOADS[name]
    num_shared = workload.num_shared // shrink
    prompts = [ask.token_ids for ask in workload.write(0, shrink)[0]]
    assert len({tuple(prompt[:num_shared]) for prompt in prompts}) == 1
    assert len({tuple(prompt[num_shared:]) for prompt in prompts}) == len(prompts)


def test_shrinking_divides_every_length_and_leaves_at_least_one_token():
    whole, part = WORKLOADS["W2"].write(0, 1)[0], WORKLOADS["W2"].write(0, 1000)[0]
    assert len(part) == len(whole)
    assert {len(ask.token_ids) for ask in part} == {ask.num_new_tokens for ask in part} == {1}
    (ask,) = WORKLOADS["W1"].write(0, 10)[0]
    assert (len(ask.token_ids), ask.num_new_tokens) == (13, 13)
