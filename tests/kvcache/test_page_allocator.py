"""A page has one owner, and changes it only along the arrows."""

from __future__ import annotations

import pytest

from sglite.kvcache.page_allocator import PageAllocator, PageState


@pytest.fixture
def allocator() -> PageAllocator:
    return PageAllocator(6)


def states(allocator: PageAllocator) -> dict[str, int]:
    counts = {state.name: len(allocator.pages_in(state)) for state in PageState}
    return {name: count for name, count in counts.items() if count}


def test_pool_without_pages_is_refused():
    with pytest.raises(AssertionError, match="needs pages"):
        PageAllocator(0)


def test_pages_are_distinct_and_owned_by_the_sequence(allocator):
    pages = allocator.try_allocate(4)
    assert len(set(pages)) == 4 and set(pages) == allocator.pages_in(PageState.SEQUENCE)
    assert allocator.num_free == 2
    allocator.check()


def test_refused_allocation_takes_nothing(allocator):
    allocator.try_allocate(4)
    before = states(allocator)
    assert allocator.try_allocate(3) is None
    assert states(allocator) == before and allocator.num_free == 2
    assert allocator.try_allocate(2) is not None
    assert allocator.try_allocate(1) is None


def test_nothing_is_allocated_for_nothing(allocator):
    assert allocator.try_allocate(0) == []
    assert allocator.num_free == 6


def test_adopted_page_returns_through_the_tree(allocator):
    pages = allocator.try_allocate(2)
    allocator.adopt(pages)
    assert states(allocator) == {"FREE": 4, "TREE": 2}
    with pytest.raises(AssertionError, match="is TREE, expected SEQUENCE"):
        allocator.free_from_sequence(pages)
    allocator.free_from_tree(pages)
    assert states(allocator) == {"FREE": 6}


def test_double_free_is_noticed(allocator):
    pages = allocator.try_allocate(1)
    allocator.free_from_sequence(pages)
    with pytest.raises(AssertionError, match=rf"page {pages[0]} is FREE, expected SEQUENCE"):
        allocator.free_from_sequence(pages)


def test_deferred_page_waits_for_its_step(allocator):
    first, second = allocator.try_allocate(2), allocator.try_allocate(1)
    allocator.free_from_sequence(first, after_step=3)
    allocator.free_from_sequence(second, after_step=5)
    assert allocator.num_free == 3 and allocator.num_deferred == 3
    allocator.release_deferred(2)
    assert allocator.num_free == 3
    allocator.release_deferred(3)
    assert allocator.num_free == 5 and allocator.num_deferred == 1
    assert allocator.pages_in(PageState.DEFERRED) == set(second)
    allocator.release_deferred(9)
    assert allocator.num_free == 6 and allocator.num_deferred == 0
    allocator.check()


def test_deferred_page_is_not_handed_out(allocator):
    pages = allocator.try_allocate(6)
    allocator.free_from_sequence(pages[:2], after_step=1)
    assert allocator.try_allocate(1) is None
    allocator.release_deferred(1)
    assert set(allocator.try_allocate(2)) == set(pages[:2])


@pytest.mark.parametrize("spoil", ["_free", "_deferred", "_state"])
def test_check_notices_a_list_that_disagrees(allocator, spoil):
    allocator.free_from_sequence(allocator.try_allocate(2), after_step=1)
    allocator.check()
    if spoil == "_free":
        allocator._free.append(allocator._free[0])
    elif spoil == "_deferred":
        allocator._deferred.clear()
    else:
        allocator._state[allocator._free[0]] = PageState.TREE
    with pytest.raises(AssertionError):
        allocator.check()
