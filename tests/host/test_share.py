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
