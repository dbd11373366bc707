from __future__ import annotations

import numpy as np
import pytest

from sglite.kernels.paged_attention.work_list import (
    SHORTEST_PART,
    Tiling,
    make_work_list,
    max_items,
)

RUNS = [
    [(1, 1)],
    [(1, 1), (1, 5000), (1, 63)],
    [(63, 63)],
    [(13, 2000), (2, 9), (1, 1), (40, 40)],
    [(1, 700)] * 9,
]


def work_list(runs: list[tuple[int, int]], tiling: Tiling, window: int | None = None):
    offsets = np.cumsum([0, *(new for new, _ in runs)]).astype(np.int32)
    seq_lens = np.asarray([length for _, length in runs], dtype=np.int32)
    return make_work_list(offsets, seq_lens, tiling, window=window)


@pytest.mark.parametrize("window", [None, 1, 7, 300])
@pytest.mark.parametrize("tiling", [Tiling(1, 1), Tiling(1, 40), Tiling(8, 6), Tiling(64, 33)])
@pytest.mark.parametrize("runs", RUNS, ids=str)
def test_every_token_meets_every_key_that_it_sees_once(runs, tiling, window):
    work = work_list(runs, tiling, window)
    token = 0
    seen: dict[int, list[int]] = {}
    for first, count, run, begin, end in work.items_I5.tolist():
        assert 0 < count <= tiling.tokens and begin < end
        for query in range(first, first + count):
            of_token = int(work.query_tokens_Q[query])
            low, high = work.visible_T2[of_token].tolist()
            seen.setdefault(of_token, []).extend(range(max(low, begin), min(high, end)))
            assert sum(new for new, _ in runs[:run]) <= of_token
            assert of_token < sum(new for new, _ in runs[: run + 1])
    for new, length in runs:
        for position in range(length - new, length):
            first_key = 0 if window is None else max(0, position - window + 1)
            assert sorted(seen[token]) == list(range(first_key, position + 1))
            token += 1


@pytest.mark.parametrize("runs", RUNS, ids=str)
def test_parts_of_a_token_have_slots_of_their_own_and_whole_ones_none(runs):
    work = work_list(runs, Tiling(4, 50))
    parts: dict[int, list[int]] = {}
    for token, slot in zip(work.query_tokens_Q.tolist(), work.query_slots_Q.tolist(), strict=True):
        parts.setdefault(token, []).append(slot)
    taken = []
    for token, slots in parts.items():
        begin, end = work.partial_offsets_T[token : token + 2].tolist()
        if len(slots) == 1:
            assert slots == [-1] and begin == end
        else:
            assert sorted(slots) == list(range(begin, end))
            taken += slots
    assert sorted(taken) == list(range(work.num_partials))


@pytest.mark.parametrize("seed", range(20))
def test_decodes_never_need_more_items_than_a_graph_has_room_for(seed):
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 300))
    lengths = random.integers(1, 5000, count).tolist()
    tiling = Tiling(1, int(random.integers(1, 200)))
    work = work_list([(1, length) for length in lengths], tiling)
    assert len(work.items_I5) <= max_items(count, tiling)


def test_short_sequences_are_not_divided():
    work = work_list([(1, SHORTEST_PART)] * 3, Tiling(1, 1000))
    assert len(work.items_I5) == 3 and work.num_partials == 0
