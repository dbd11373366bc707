from __future__ import annotations

import pytest

from sglite.bench.gpu_suite.attention_backends import LAUNCHES
from sglite.bench.gpu_suite.kernel_checks import work_cases
from sglite.bench.gpu_suite.kernel_checks.attention_cases import Runs
from tests.bench.gpu_suite.places import REFERENCE, interpreted

SMALL = [case for case in work_cases.cases() if not case.is_large]
PIECES = ["decode, small pages", "decode, window", "decode, shared prefix", "prefill, window"]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_reference_over_the_backend_s_lists_is_torch_s(case):
    assert [pair.error <= 1 for pair in case.run(REFERENCE)] == [True]


@pytest.mark.parametrize("words", PIECES)
def test_kernel_passes_by_both_loaders(words):
    case = next(case for case in SMALL if case.name == f"work list of {words}")
    errors = [pair.error for pair in case.run(interpreted())]
    # Descriptors read no pages that are shorter than a tile.
    assert len(errors) == 1 + ("small" not in words) * len(work_cases.LOADERS)
    assert max(errors) <= 1


def test_every_layout_divides_long_keys():
    case = next(case for case in SMALL if "divided keys" in case.name)
    errors = [pair.error for pair in case.run(interpreted())]
    assert len(errors) == 1 + len(LAUNCHES)
    assert max(errors) <= 1


def test_a_list_without_its_last_item_is_noticed(monkeypatch):
    make = work_cases.bind

    def bind(*arguments):
        bound = make(*arguments)
        bound.work.items_I6[0, 1] = 0
        return bound

    monkeypatch.setattr(work_cases, "bind", bind)
    assert max(pair.error for pair in SMALL[0].run(REFERENCE)) > 1


@pytest.mark.parametrize(("page_size", "head_dim", "fits"), [(64, 64, True), (16, 64, False)])
def test_descriptors_need_whole_tiles_and_heads_of_a_block(page_size, head_dim, fits):
    runs = Runs(name="", runs=(), page_size=page_size, head_dim=head_dim)
    assert work_cases.has_descriptors(runs) is fits
    assert not work_cases.has_descriptors(Runs(name="", runs=(), head_dim=80))
