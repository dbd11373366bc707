from __future__ import annotations

import threading

import pytest

from sglite.grammar.backend import Words
from sglite.grammar.masks import MIN_ROWS_PER_THREAD, MaskFiller


class Source:
    """Writes its number into every word, and notes the thread that did it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.thread = ""

    def fill_mask(self, words_W: Words) -> None:
        self.thread = threading.current_thread().name
        words_W[:] = self.number


class Broken:
    def fill_mask(self, words_W: Words) -> None:
        words_W[0] = 0
        raise ValueError("no mask")


@pytest.mark.parametrize("num_threads", [1, 3])
@pytest.mark.parametrize("num_rows", [1, MIN_ROWS_PER_THREAD + 1, 5 * MIN_ROWS_PER_THREAD])
def test_each_entry_gets_the_mask_of_its_source(num_threads: int, num_rows: int) -> None:
    filler = MaskFiller(65, num_threads=num_threads)
    sources = [Source(number) for number in range(num_rows)]
    entries = [2 * number for number in range(num_rows)]
    masks, failed = filler.begin(entries, sources).wait()
    assert masks.entries == entries
    assert masks.words_MW.tolist() == [[number] * 3 for number in range(num_rows)]
    assert failed == {}
    threads = {source.thread for source in sources}
    assert all(name.startswith("grammar-masks") for name in threads)
    assert len(threads) <= max(1, min(num_threads, -(-num_rows // MIN_ROWS_PER_THREAD)))
    filler.close()


def test_a_source_that_fails_leaves_its_row_free_and_the_others_alone() -> None:
    filler = MaskFiller(32, num_threads=1)
    masks, failed = filler.begin([0, 4, 5], [Source(1), Broken(), Source(3)]).wait()
    assert masks.words_MW.tolist() == [[1], [-1], [3]]
    assert {index: str(error) for index, error in failed.items()} == {1: "no mask"}
    filler.close()


def test_without_entries_there_is_nothing_to_wait_for() -> None:
    filler = MaskFiller(33, num_threads=1)
    masks, failed = filler.begin([], []).wait()
    assert (masks.entries, tuple(masks.words_MW.shape), failed) == ([], (0, 2), {})
    filler.close()
