import pytest

from sglite.host.share import HostShare


def test_a_share_is_one_of_its_count():
    assert HostShare() == HostShare(0, 1)
    with pytest.raises(AssertionError, match="process 2 of 2"):
        HostShare(2, 2)


def test_ranks_divide_what_their_engine_has():
    engine = HostShare(1, 3)
    assert [engine.part(rank, 2) for rank in range(2)] == [HostShare(2, 6), HostShare(3, 6)]
    assert HostShare().part(1, 2) == HostShare(1, 2)


def test_free_memory_is_for_those_that_hold_none_yet():
    engine = HostShare(1, 3, num_settled=2)
    assert engine.num_memory_parts == 1
    assert engine.part(0, 2) == HostShare(2, 6, num_settled=4)
    assert HostShare(0, 3).num_memory_parts == 3
    with pytest.raises(AssertionError, match="3 others of 3"):
        HostShare(0, 3, num_settled=3)
