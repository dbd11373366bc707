from __future__ import annotations

import math

import pytest
import torch

from sglite.kernels import triton_support
from sglite.kernels.draw import draw
from tests.kernels.draw.rows import SAMPLINGS, Rows, random


@pytest.fixture(params=["reference", "triton"])
def implementation(request, monkeypatch):
    if request.param == "triton":
        pytest.importorskip("triton")
        monkeypatch.setattr(triton_support, "runs_on", lambda tensor: True)
    return request.param


def test_tokens_are_those_of_the_sampler(implementation):
    rows = Rows.mixed(2 * random(len(SAMPLINGS), 60))
    rows.check(rows.drawn_by(draw))


def test_a_row_draws_the_same_in_any_batch(implementation):
    rows = Rows.mixed(random(len(SAMPLINGS), 60).round(decimals=1))
    together = rows.drawn_by(draw)
    some = [16, 15, 7, 2]
    assert rows.of(some).drawn_by(draw) == [together[row] for row in some]
    assert rows.of([14]).drawn_by(draw) == [together[14]]


def test_a_row_without_a_possible_token_is_invalid_and_leaves_others_alone(implementation):
    rows = Rows.mixed(random(len(SAMPLINGS), 60)).of([0, 14, 16, 15, 11, 14, 16])
    sound = rows.drawn_by(draw)
    for row, bad in ((0, math.nan), (1, math.inf), (2, math.nan), (4, -math.inf)):
        rows.logits[row, 5 if row < 4 else slice(None)] = bad
        sound[row] = -1
    assert rows.drawn_by(draw) == sound == rows.by_sampler()


def test_rows_that_pad_may_come_repeatedly(implementation):
    rows = Rows.mixed(random(1, 60))
    last, tokens = torch.zeros(4, dtype=torch.int64), torch.zeros(3, dtype=torch.int32)
    spare = torch.full((3,), 3, dtype=torch.int32)
    logits = rows.logits.expand(3, -1).contiguous()
    parameters = rows.parameters(60, "cpu")
    draw(logits, spare, spare, parameters, last_token_W=last, token_ids_R=tokens)
    assert tokens.tolist() == [int(logits[0].argmax())] * 3
    assert last.tolist() == [0, 0, 0, int(tokens[0])]


def test_no_rows_change_nothing(implementation):
    nothing, last = torch.empty(0, dtype=torch.int32), torch.tensor([3, 4])
    parameters = Rows.mixed(random(1, 9)).parameters(9, "cpu")
    draw(torch.empty(0, 9), nothing, nothing, parameters, last_token_W=last, token_ids_R=nothing)
    assert last.tolist() == [3, 4]
