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
    backwards = list(reversed(range(len(together))))
    assert rows.of(backwards).drawn_by(draw) == together[::-1]
    assert [rows.of([i]).drawn_by(draw)[0] for i in range(len(together))] == together


def test_a_row_without_a_possible_token_is_invalid_and_leaves_others_alone(implementation):
    rows = Rows.mixed(random(len(SAMPLINGS), 60))
    sound = rows.drawn_by(draw)
    for row, bad in ((3, math.nan), (6, math.inf), (16, math.nan)):
        rows.logits[row, 5] = bad
        sound[row] = -1
    rows.logits[10] = -math.inf
    sound[10] = -1
    assert rows.drawn_by(draw) == sound == rows.by_sampler()


def test_rows_that_pad_may_come_repeatedly(implementation):
    rows = Rows.mixed(random(1, 60))
    last, tokens = torch.zeros(4, dtype=torch.int64), torch.zeros(3, dtype=torch.int32)
    spare = torch.full((3,), 3, dtype=torch.int32)
    logits = rows.logits.expand(3, -1).contiguous()
    parameters = rows._parameters(60, "cpu")
    draw(logits, spare, spare, parameters, last_token_W=last, token_ids_R=tokens)
    assert tokens.tolist() == [int(logits[0].argmax())] * 3
    assert last.tolist() == [0, 0, 0, int(tokens[0])]


def test_no_rows_change_nothing(implementation):
    nothing, last = torch.empty(0, dtype=torch.int32), torch.tensor([3, 4])
    parameters = Rows.mixed(random(1, 9))._parameters(9, "cpu")
    draw(torch.empty(0, 9), nothing, nothing, parameters, last_token_W=last, token_ids_R=nothing)
    assert last.tolist() == [3, 4]
