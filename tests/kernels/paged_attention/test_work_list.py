from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sglite.kernels.paged_attention.prefix_groups import find_groups, group_tiles
from sglite.kernels.paged_attention.work_list import (
    SHORTEST_PART,
    TILE_KEYS,
    Tiling,
    WorkList,
    chunk_work,
    counting,
    decode_work,
    most_items,
)

LENGTHS = st.lists(st.integers(1, 3000), min_size=1, max_size=12)
WINDOWS = st.sampled_from([None, 1, 7, 64, 300, 5000])
TILINGS = st.builds(
    Tiling, st.integers(1, 70), st.integers(1, 40), st.sampled_from([None, 64, 192, 1024])
)


def words(values) -> np.ndarray:
    return np.asarray(values, dtype=np.int32)


Spans = dict[int, list[tuple[int, int]]]


def seen_spans(work: WorkList, *, window: int | None, is_causal: bool) -> Spans:
    """Ranges of keys that each token meets, in order; those without keys are left out."""
    spans: Spans = {}
    for first, count, _, begin, end, position in work.items_I6.tolist():
        assert count > 0 and begin < end
        for index in range(count):
            low, high = begin, end
            if is_causal:
                high = min(end, position + index + 1)
                low = begin if window is None else max(begin, position + index + 1 - window)
            if low < high:
                token = int(work.queries_Q2[first + index, 0])
                spans.setdefault(token, []).append((low, high))
    return {token: sorted(of_one) for token, of_one in spans.items()}


def assert_seen_once(spans: list[tuple[int, int]], position: int, window: int | None) -> None:
    at = 0 if window is None else max(0, position - window + 1)
    for begin, end in spans:
        assert begin == at
        at = end
    assert at == position + 1


def assert_parts_have_slots(work: WorkList) -> None:
    """Slots are taken once, those of a token are neighbours, in the order of its keys."""
    parts: dict[int, list[tuple[int, int]]] = {}
    for first, count, _, begin, _, _ in work.items_I6.tolist():
        for token, slot in work.queries_Q2[first : first + count].tolist():
            parts.setdefault(token, []).append((begin, slot))
    merged = 0
    for first, count in work.merges_M2.tolist():
        token = int(work.slot_tokens_S[first])
        assert count > 1
        assert [slot for _, slot in sorted(parts.pop(token))] == [*range(first, first + count)]
        assert (work.slot_tokens_S[first : first + count] == token).all()
        merged += count
    assert merged == len(work.slot_tokens_S)
    assert all(len(of_one) == 1 and of_one[0][1] == -1 for of_one in parts.values())


@given(LENGTHS, WINDOWS, TILINGS)
def test_every_decode_meets_every_key_that_it_sees_once(lengths, window, tiling):
    rows = words(range(7, 7 + len(lengths)))
    work = decode_work(rows, words(lengths), tiling, window=window)
    spans = seen_spans(work, window=window, is_causal=False)
    for token, length in enumerate(lengths):
        assert_seen_once(spans[token], length - 1, window)
    for first, _, row, *_ in work.items_I6.tolist():
        assert row == 7 + work.queries_Q2[first, 0]
    assert_parts_have_slots(work)


@given(
    st.lists(st.tuples(st.integers(1, 150), st.integers(0, 1500)), min_size=1, max_size=5),
    WINDOWS,
    TILINGS,
)
def test_every_token_of_a_chunk_meets_every_key_that_it_sees_once(runs, window, tiling):
    offsets = words(np.cumsum([0, *(new for new, _ in runs)]))
    lengths = [new + before for new, before in runs]
    work = chunk_work(words(range(len(runs))), offsets, words(lengths), tiling, window=window)
    spans = seen_spans(work, window=window, is_causal=True)
    for run, (new, before) in enumerate(runs):
        for index in range(new):
            assert_seen_once(spans[int(offsets[run]) + index], before + index, window)
    assert (work.items_I6[:, 1] <= tiling.tokens).all()
    assert_parts_have_slots(work)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 700)), max_size=12),
    st.sampled_from([None, 900]),
    st.integers(1, 8),
    st.integers(1, 40),
)
def test_rows_that_share_pages_meet_every_key_once(rows, window, tokens, parts):
    """Rows are (branch of the first level, of the second, keys of their own)."""
    rows = [*rows, (0, 0, 1)]
    table = np.zeros((len(rows), 40), dtype=np.int32)
    page_ids: dict[tuple[int, ...], int] = {}
    lengths = []
    for row, (branch, twig, own) in enumerate(rows):
        path: list[tuple[int, ...]] = [(branch, page) for page in range(6)]
        path += [(branch, twig, page) for page in range(branch + 5)]
        path += [(row, page, 0, 0) for page in range(-(-own // 64))]
        lengths.append((11 + branch) * 64 + own)
        table[row, : len(path)] = [page_ids.setdefault(page, 1 + len(page_ids)) for page in path]
    num_keys = words(lengths) - np.int32(1)
    if window is not None:
        num_keys = np.where(words(lengths) > window, np.int32(0), num_keys)
    order = words(range(len(rows)))
    groups = find_groups(table, order, num_keys, page_size=64, tile_keys=TILE_KEYS)
    tiling = Tiling(tokens, parts)
    shared, begins = group_tiles(groups, order, tokens) if groups else (None, None)
    work = decode_work(
        order, words(lengths), tiling, window=window, shared=shared, private_begin_R=begins
    )
    spans = seen_spans(work, window=window, is_causal=False)
    for token, length in enumerate(lengths):
        assert_seen_once(spans[token], length - 1, window)
    assert_parts_have_slots(work)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=300), st.integers(1, 200))
def test_decodes_never_need_more_items_than_a_graph_has_room_for(lengths, parts):
    tiling = Tiling(1, parts)
    work = decode_work(words(range(len(lengths))), words(lengths), tiling)
    assert len(work.items_I6) <= most_items(len(lengths), tiling, 5000)
    assert len(work.merges_M2) <= parts
    assert len(work.slot_tokens_S) <= 2 * parts


@given(LENGTHS, st.sampled_from([64, 192, 1024]), WINDOWS)
def test_fixed_parts_depend_on_the_sequence_alone(lengths, fixed_part, window):
    tiling = Tiling(1, 1, fixed_part)
    together = decode_work(words(range(len(lengths))), words(lengths), tiling, window=window)
    spans = {token: [] for token in range(len(lengths))}
    for first, _, _, begin, end, _ in together.items_I6.tolist():
        spans[int(together.queries_Q2[first, 0])].append((begin, end))
    for token, length in enumerate(lengths):
        alone = decode_work(words([0]), words([length]), tiling, window=window)
        assert sorted(spans[token]) == sorted(map(tuple, alone.items_I6[:, 3:5].tolist()))
        assert len(spans[token]) <= most_items(1, tiling, length)


def test_long_items_come_first():
    work = decode_work(words([0, 1, 2, 3]), words([64, 900, 3, 400]), Tiling(1, 1))
    assert work.items_I6[:, 2].tolist() == [1, 3, 0, 2]


def test_short_sequences_are_not_divided():
    lengths = words([SHORTEST_PART * TILE_KEYS] * 3)
    work = decode_work(words([0, 1, 2]), lengths, Tiling(1, 1000))
    assert len(work.items_I6) == 3 and not len(work.slot_tokens_S)


@pytest.mark.parametrize("counts", [[], [0], [3], [2, 0, 4]])
def test_counting_starts_again_for_each(counts):
    assert counting(words(counts)).tolist() == [i for count in counts for i in range(count)]
