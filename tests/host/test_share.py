import pytest

from sglite.host.share import HostShare


def test_a_share_is_one_of_its_count():
    assert HostShare() == HostShare(0, 1)
    with pytest.raises(AssertionError, match="process 2 of 2"):
        HostShare(2, 2)
